import random


def input_generator():
    """Two to seven orders from three regions; later lines are sometimes written wrongly."""
    orders = []
    for _ in range(random.randint(2, 7)):
        region = random.choice(["north", "south", "west"])
        units, cents = random.randint(1, 12), random.choice([25, 50, 99, 120, 200, 250])
        sign = "*" if orders and random.random() < 0.1 else "x"
        orders.append(f"{region} {units} {sign} {cents}")
    return {"orders": orders}
