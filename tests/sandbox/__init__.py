"""What code meets in a real container: statuses, limits, values, isolation, attacks."""
