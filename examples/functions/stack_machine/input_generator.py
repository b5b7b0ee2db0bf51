import random


def input_generator():
    """Two numbers, then random instructions; one program in three counts down in a loop."""
    program = [f"push {random.randint(-3, 9)}" for _ in range(2)]
    if random.random() < 0.33:
        program[-1] = f"push {random.randint(1, 5)}"
        start = len(program)
        program += ["push 1", "sub", "dup", f"jz {start + 5}", f"jmp {start}"]
    for _ in range(random.randint(2, 3)):
        name = random.choice(["add", "sub", "mul", "mod", "dup", "swap", "drop", "push", "jz"])
        number = f" {random.randint(0, 9)}" if name in ("push", "jz") else ""
        program.append(name + number)
    return {"program": program}
