import random


def input_generator():
    """Up to six crates, and room for at most two thirds of them."""
    count = random.randint(3, 6)
    weights = [random.randint(1, 15) for _ in range(count)]
    values = [random.randint(1, 40) for _ in range(count)]
    capacity = random.randint(min(weights), max(sum(weights) * 2 // 3, min(weights)))
    return {"weights": weights, "values": values, "capacity": capacity}
