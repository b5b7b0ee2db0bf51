"""Tests of ``answers``: what is found in a model's text."""
