"""Tests of ``sandboxes``: the pool and the driver, on fake sandboxes."""
