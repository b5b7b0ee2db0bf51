"""What a request can ask for: each operation, and the checks they share. No HTTP, no engines."""
