import random


def input_generator():
    """Empty most cells of a shuffled filling; one puzzle in eight gets a wrong digit."""
    digits = random.sample("1234", 4)
    a, b, c, d = digits
    filled = random.choice(
        [
            [a, b, c, d, c, d, a, b, b, a, d, c, d, c, b, a],
            [a, b, c, d, c, d, b, a, b, a, d, c, d, c, a, b],
            [a, b, c, d, d, c, a, b, b, a, d, c, c, d, b, a],
        ]
    )
    for place in random.sample(range(16), random.randint(7, 11)):
        filled[place] = "."
    if random.random() < 0.12:
        filled[random.randrange(16)] = random.choice("1234")
    return {"rows": ["".join(filled[i : i + 4]) for i in range(0, 16, 4)]}
