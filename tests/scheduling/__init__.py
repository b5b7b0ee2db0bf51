"""Tests of ``scheduling``: who gets a slot when, mostly in virtual time."""
