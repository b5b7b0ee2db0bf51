"""Sandboxes: kept ready, proven, and driven through executions. Which engine is elsewhere."""
