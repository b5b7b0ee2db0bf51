"""The tests; a package, so that what several of them need can be imported by name."""
