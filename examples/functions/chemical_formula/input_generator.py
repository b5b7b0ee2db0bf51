import random


def input_generator():
    """Formulas made of random pieces, some hydrated, one in seven spoilt."""

    def number():
        return random.choice(["", "", "2", "3", "4", "12"])

    def element():
        return random.choice(["H", "C", "N", "O", "Na", "S", "Cl", "Ca", "Cu"])

    formula = element() + number()
    for _ in range(random.randint(0, 2)):
        formula += element() + number()
    if random.random() < 0.5:
        inner = element() + number() + element()
        if random.random() < 0.3:
            inner = f"{element()}({inner}){number()}"
        formula += f"({inner}){number()}"
    if random.random() < 0.3:
        formula += f".{random.randint(2, 10)}H2O"
    if random.random() < 0.15:
        place = random.randint(0, len(formula))
        formula = formula[:place] + random.choice(["(", ")", "Xe", "-"]) + formula[place:]
    return {"formula": formula}
