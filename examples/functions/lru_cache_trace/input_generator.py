import random


def input_generator():
    """Five to eight requests for four keys, against a cache that is too small for them."""
    requests = []
    for _ in range(random.randint(5, 8)):
        key = random.choice("abcd")
        action = random.choice(["get", "get", "put", "put", "put", "del"])
        requests.append(
            f"put {key} {random.randint(0, 99)}" if action == "put" else f"{action} {key}"
        )
    return {"capacity": random.randint(1, 3), "requests": requests}
