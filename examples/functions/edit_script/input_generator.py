import random


def input_generator():
    """A word and a damaged copy of it, so that keeps are as common as edits."""
    source = "".join(random.choice("abcdes") for _ in range(random.randint(3, 10)))
    target = list(source)
    for _ in range(random.randint(1, 4)):
        place = random.randint(0, len(target))
        kind = random.choice(["drop", "add", "swap"])
        if kind == "add":
            target.insert(place, random.choice("abcdes"))
        elif place < len(target):
            target[place : place + 1] = [] if kind == "drop" else [random.choice("abcdes")]
    return {"source": source, "target": "".join(target)}
