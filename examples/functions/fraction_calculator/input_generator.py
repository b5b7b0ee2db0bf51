import random


def input_generator():
    """A random expression tree written out; one in five is damaged by a lost character."""

    def write(depth):
        if depth == 0 or random.random() < 0.25:
            number = str(random.randint(0, 12))
            return f"-{number}" if random.random() < 0.1 else number
        sign = random.choice("+-*/")
        text = f"{write(depth - 1)} {sign} {write(depth - 1)}"
        return f"({text})" if random.random() < 0.6 else text

    expression = write(random.randint(1, 3))
    if random.random() < 0.2:
        hole = random.randrange(len(expression))
        expression = expression[:hole] + expression[hole + 1 :]
    return {"expression": expression}
