"""Making sandboxes: an engine a folder; what engines have in common, and choosing one, is here."""
