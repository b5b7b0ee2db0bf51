import random


def input_generator():
    """A handful of founders and a few generations, which would be harmless if they were counted."""
    return {"founders": random.randint(1, 8), "generations": random.randint(1, 6)}
