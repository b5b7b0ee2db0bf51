"""Tests of ``judge``: tables, since all of it is pure."""
