"""Tests of the contracts of other projects."""
