"""The determinism check as a whole, on labelled functions, and the clock that it varies."""
