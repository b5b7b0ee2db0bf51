import random


def input_generator():
    """Four to ten fragments with or without spaces between them, sometimes a bad character."""
    fragments = [
        "let", "if", "while", "fn", "x", "y1", "_tmp", "total", "ifx", "3", "42", "2.5", "0.125",
        "==", "<=", "->", "=", "+", "-", "*", "(", ")", "{", "}", ";", '"a b"', '"#"',
    ]  # fmt: skip
    line = ""
    for _ in range(random.randint(4, 10)):
        line += random.choice(fragments) + random.choice(["", " ", " "])
    if random.random() < 0.2:
        place = random.randint(0, len(line))
        line = line[:place] + random.choice(['"', "$", ".", "#", "!"]) + line[place:]
    return {"line": line}
