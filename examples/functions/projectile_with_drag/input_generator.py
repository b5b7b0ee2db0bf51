import random


def input_generator():
    """Throws between 5 and 40 m/s, from a vacuum to a very light ball."""
    return {
        "speed": random.randint(5, 40),
        "angle_deg": random.randint(10, 80),
        "drag": random.choice([0.0, 0.002, 0.005, 0.01, 0.02, 0.05]),
    }
