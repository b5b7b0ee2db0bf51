import random


def input_generator():
    """Two or three states with weights from 1 to 9."""
    size = random.randint(2, 3)
    return {"weights": [[random.randint(1, 9) for _ in range(size)] for _ in range(size)]}
