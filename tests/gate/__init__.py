"""The gate between service and daemon: what it judges, how it reads, and the engine through it."""
