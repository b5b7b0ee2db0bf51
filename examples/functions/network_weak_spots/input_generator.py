import random


def input_generator():
    """Four to nine cables between eight computers."""
    names = "ABCDEFGH"
    pairs = [a + b for i, a in enumerate(names) for b in names[i + 1 :]]
    return {"cables": random.sample(pairs, random.randint(4, 9))}
