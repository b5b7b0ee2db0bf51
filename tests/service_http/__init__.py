"""Tests of the HTTP layer: a real server on loopback around a runtime that runs nothing."""
