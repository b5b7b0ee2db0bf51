"""Drawn bytes for every parser that a stranger can reach."""
