import random


def input_generator():
    """Four to seven common words, in lines of six to twenty characters."""
    words = ["the", "ship", "left", "early", "because", "of", "a", "tide", "nobody", "expected"]
    text = random.choice(words)
    for _ in range(random.randint(3, 6)):
        text += random.choice([" ", " ", " ", "  "]) + random.choice(words)
    return {"text": text, "width": random.randint(6, 20)}
