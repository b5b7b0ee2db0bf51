import random


def input_generator():
    """Three to seven posts on a coarse grid, so that some lie on straight stretches."""
    count = random.randint(3, 7)
    reach = random.choice([3, 6, 15])
    return {
        "xs": [random.randint(-reach, reach) for _ in range(count)],
        "ys": [random.randint(-reach, reach) for _ in range(count)],
    }
