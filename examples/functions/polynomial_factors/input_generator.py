import random


def input_generator():
    """Multiply two or three small factors, so that there is something to find."""
    coefficients = [random.choice([1, 1, 2, -1, 3])]
    for _ in range(random.randint(2, 3)):
        factor = [random.randint(1, 2)] + [
            random.randint(-4, 4) for _ in range(random.choice([1, 1, 2]))
        ]
        product = [0] * (len(coefficients) + len(factor) - 1)
        for i, a in enumerate(coefficients):
            for j, b in enumerate(factor):
                product[i + j] += a * b
        coefficients = product
    return {"coefficients": coefficients}
