"""A narrow way to the Docker daemon: a program of its own that answers the engine's verbs only."""
