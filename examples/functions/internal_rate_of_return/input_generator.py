import random


def input_generator():
    """One to six yearly incomes around a third of the outlay; a few projects bring nothing."""
    outlay = random.randint(5, 100) * 100
    years = random.randint(1, 6)
    incomes = [random.randint(0, outlay * 2 // 3) // 10 * 10 for _ in range(years)]
    if random.random() < 0.06:
        incomes = [0] * years
    return {"outlay": outlay, "incomes": incomes}
