import random


def input_generator():
    """Two to six tasks, arriving close together so that the queue fills."""
    count = random.randint(2, 6)
    return {
        "arrivals": [random.randint(0, 12) for _ in range(count)],
        "bursts": [random.randint(1, 9) for _ in range(count)],
        "quantum": random.randint(1, 4),
    }
