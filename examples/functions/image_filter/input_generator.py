import random


def input_generator():
    """Three or four rows of three: a dark ground, a bright patch, some noise."""
    rows, columns = random.randint(3, 4), 3
    dark, bright = random.randint(0, 60), random.randint(120, 255)
    edge = random.randint(0, columns)
    picture = [[bright if c >= edge else dark for c in range(columns)] for _ in range(rows)]
    for _ in range(random.randint(1, 3)):
        picture[random.randrange(rows)][random.randrange(columns)] = random.randint(0, 255)
    return {"picture": picture, "mode": random.choice(["edges", "sharpen", "blur"])}
