import random


def input_generator():
    """Chains of two to seven matrices, with some very thin ones among them."""
    count = random.randint(3, 8)
    dims = [random.choice([1, 2, 5, 8, 10, 12, 20, 25, 30, 40]) for _ in range(count)]
    return {"dims": dims}
