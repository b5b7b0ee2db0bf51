"""Tests of the client's ``dataset``: files, steps, scoring, and the commands over them."""
