"""Tests of ``api``: a real server on loopback around a runtime that runs nothing."""
