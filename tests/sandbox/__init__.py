"""What real containers do: statuses, limits, values, isolation, attacks."""
