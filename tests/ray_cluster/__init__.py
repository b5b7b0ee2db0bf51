"""Tests of `execbox.ray`; those that need Ray itself are passed over where it is not installed."""
