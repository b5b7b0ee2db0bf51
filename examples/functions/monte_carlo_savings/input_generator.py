import random


def input_generator():
    """Plans of one to five years."""
    return {
        "monthly": random.choice([25, 50, 100, 200, 400]),
        "months": random.randint(12, 60),
        "mean_percent": random.choice([0.2, 0.4, 0.6]),
        "spread_percent": random.choice([1.5, 3.0, 4.5]),
    }
