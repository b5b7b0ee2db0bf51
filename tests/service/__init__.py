"""The service without HTTP: pure parts, scheduling, the pool, the Docker engine and its faults."""
