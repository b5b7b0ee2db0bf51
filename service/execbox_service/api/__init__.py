"""The HTTP layer: receiving, checking, answering and logging requests. Runs no code itself."""
