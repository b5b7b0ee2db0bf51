import random


def input_generator():
    """Two to six riders in a house of ten floors."""
    riders = []
    for _ in range(random.randint(2, 6)):
        origin, target = random.sample(range(10), 2)
        riders.append(f"{origin}>{target}")
    return {"start": random.randint(0, 9), "riders": riders}
