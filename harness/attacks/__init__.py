"""Programs that attack the sandbox, by what they are after, and what each must end in."""
