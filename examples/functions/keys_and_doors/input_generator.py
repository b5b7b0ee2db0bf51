import random


def input_generator():
    """A six by seven maze with two keys, their doors, and a wall across part of it."""
    rows, columns = 6, 7
    cells = [["#" if random.random() < 0.12 else "." for _ in range(columns)] for _ in range(rows)]
    gate_row = random.randint(2, 3)
    cells[gate_row] = ["#"] * columns
    cells[gate_row][random.randrange(columns)] = random.choice("AB.")
    upper = [(r, c) for r in range(gate_row) for c in range(columns)]
    lower = [(r, c) for r in range(gate_row + 1, rows) for c in range(columns)]
    above = random.sample(upper, 3)
    below = random.sample(lower, 3)
    for (r, c), mark in zip(above + below, "@ab!AB", strict=True):
        cells[r][c] = mark
    return {"maze": ["".join(line) for line in cells]}
