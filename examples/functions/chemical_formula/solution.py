# import necessary packages
import re
from collections import Counter

# all helper functions and constants
MILLI_MASS = {
    "H": 1008, "C": 12011, "N": 14007, "O": 15999, "Na": 22990,
    "S": 32060, "Cl": 35450, "Ca": 40078, "Cu": 63546,
}  # fmt: skip
TOKEN = re.compile(r"[A-Z][a-z]?|\(|\)|\d+|.")


def times(atoms, factor):
    """Multiply every count."""
    return Counter({name: count * factor for name, count in atoms.items()})


def read_part(part):
    """Count the atoms of one part, keeping a stack of open brackets."""
    if not part:
        raise ValueError("unexpected .")
    lead = re.match(r"\d*", part).group()
    stack, last = [Counter()], None
    for token in TOKEN.findall(part[len(lead) :]):
        if token.isdigit() and last is not None:
            stack[-1].update(times(last, int(token) - 1))
            last = None
        elif token == "(":
            stack.append(Counter())
            last = None
        elif token == ")":
            if len(stack) == 1:
                raise ValueError("unbalanced bracket")
            last = stack.pop()
            stack[-1].update(last)
        elif token[0].isupper():
            if token not in MILLI_MASS:
                raise ValueError(f"unknown element {token}")
            last = Counter({token: 1})
            stack[-1].update(last)
        else:
            raise ValueError(f"unexpected {token[0]}")
    if len(stack) > 1:
        raise ValueError("unbalanced bracket")
    return times(stack[0], int(lead or 1))


# main function
def main_solution(formula):
    """Count the atoms in a chemical formula and add up their mass."""
    atoms = Counter()
    try:
        for part in formula.split("."):
            atoms.update(read_part(part))
    except ValueError as error:
        return {"atoms": "", "mass": 0.0, "problem": str(error)}
    mass = sum(MILLI_MASS[name] * count for name, count in atoms.items())
    listed = " ".join(f"{name}{count}" for name, count in sorted(atoms.items()))
    return {"atoms": listed, "mass": round(mass / 1000, 2), "problem": ""}
