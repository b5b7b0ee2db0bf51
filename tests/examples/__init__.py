"""Tests of the acceptance runs: their arithmetic, and a sample of what they run."""
