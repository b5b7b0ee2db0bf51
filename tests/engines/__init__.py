"""Tests of ``engines``: each engine by itself, and one suite that all of them pass."""
