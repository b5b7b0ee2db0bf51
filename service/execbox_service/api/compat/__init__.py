"""Other projects' HTTP contracts, translated onto the operations: one module each. Runs nothing."""
