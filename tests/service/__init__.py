"""The service without HTTP: pure parts, the pool, sessions, the Docker engine and its faults."""
