"""JSONL files: reading, naming, finding and appending records, so that a killed run loses none."""
