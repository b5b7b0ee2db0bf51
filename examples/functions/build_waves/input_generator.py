import random


def input_generator():
    """Four or five targets; one time in three a need that may close a circle."""
    targets = "abcde"[: random.randint(4, 5)]
    needs = {}
    for i, target in enumerate(targets):
        earlier = list(targets[:i])
        random.shuffle(earlier)
        needs[target] = "".join(earlier[: random.randint(0, min(2, i))])
    if random.random() < 0.33:
        low, high = sorted(random.sample(range(len(targets)), 2))
        if targets[high] not in needs[targets[low]]:
            needs[targets[low]] += targets[high]
    return {"needs": needs}
