import random


def input_generator():
    """A random soup on a board of up to six by six cells."""
    height, width = random.randint(4, 6), random.randint(4, 6)
    density = random.uniform(0.2, 0.55)
    board = [
        "".join("#" if random.random() < density else "." for _ in range(width))
        for _ in range(height)
    ]
    return {"board": board, "generations": random.randint(1, 12)}
