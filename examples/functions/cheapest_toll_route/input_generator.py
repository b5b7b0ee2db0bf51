import random


def input_generator():
    """Five or six towns and up to seven roads; about one goal in six is out of reach."""
    towns = "ABCDEF"[: random.randint(5, 6)]
    pairs = [(a, b) for a in towns for b in towns if a != b]
    roads = [f"{a}{b}{random.randint(1, 12)}" for a, b in random.sample(pairs, 5)]
    start, goal = random.sample(towns, 2)
    middle = random.choice([town for town in towns if town not in (start, goal)])
    if random.random() < 0.7:
        roads.append(f"{start}{middle}{random.randint(1, 9)}")
        roads.append(f"{middle}{goal}{random.randint(1, 9)}")
    return {"roads": roads, "start": start, "goal": goal}
