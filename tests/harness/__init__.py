"""Tests of ``harness``, which tests, benchmarks and acceptance runs share."""
