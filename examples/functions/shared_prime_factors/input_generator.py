import random


def input_generator():
    """Three to six numbers with many small factors."""
    numbers = []
    for _ in range(random.randint(3, 6)):
        number = 1
        for _ in range(random.randint(1, 4)):
            number *= random.choice([2, 3, 5, 7, 11])
        numbers.append(number)
    return {"numbers": numbers}
