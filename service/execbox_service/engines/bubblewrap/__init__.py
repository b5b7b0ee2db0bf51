"""The engine ``bubblewrap``: sandboxes of rootless namespaces, where there is no Docker daemon."""
