"""Engines make sandboxes: Docker here; what they have in common is in ``base``."""
