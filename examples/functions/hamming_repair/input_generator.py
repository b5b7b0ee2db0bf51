import random


def input_generator():
    """Encode three to eight random values, then flip no, one or two bits of each word."""
    words = []
    for _ in range(random.randint(3, 8)):
        d1, d2, d3, d4 = (random.randint(0, 1) for _ in range(4))
        bits = [d1 ^ d2 ^ d4, d1 ^ d3 ^ d4, d1, d2 ^ d3 ^ d4, d2, d3, d4]
        word = int("".join(map(str, [*bits, sum(bits) % 2])), 2)
        for place in random.sample(range(8), random.choice([0, 0, 1, 1, 2])):
            word ^= 1 << place
        words.append(word)
    return {"words": words}
