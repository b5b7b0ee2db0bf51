"""Several processes as one service: a front that accepts, and workers that answer."""
