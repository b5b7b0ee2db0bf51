"""The whole service as an operator runs it, on real containers, under load, faults and lies."""
