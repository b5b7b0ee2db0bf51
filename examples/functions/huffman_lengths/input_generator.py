import random


def input_generator():
    """Texts of 1 to 24 characters in which some letters are far more common than others."""
    letters = random.sample("abcdefgh", random.randint(1, 7))
    weights = [2**i for i in range(len(letters))]
    return {"text": "".join(random.choices(letters, weights, k=random.randint(1, 24)))}
