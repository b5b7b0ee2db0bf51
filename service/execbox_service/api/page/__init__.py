"""The page at ``/`` for people: its files, and the numbers it shows live. Runs no code itself."""
