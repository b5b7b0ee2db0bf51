import random


def input_generator():
    """Two or three accounts and up to five orders; now and then an account nobody has."""
    count = random.randint(2, 3)
    orders = []
    for _ in range(random.randint(3, 5)):
        first, second = random.randrange(count), random.randrange(count + 1)
        amount = random.randint(5, 70)
        forms = [
            f"in {first} {amount}",
            f"out {first} {amount}",
            f"move {first} {second} {amount}",
            f"move {second} {first} {amount}",
            "undo",
        ]
        orders.append(random.choice(forms))
    return {
        "balances": [random.randint(0, 90) for _ in range(count)],
        "orders": orders,
        "overdraft": random.choice([0, 20, 40]),
    }
