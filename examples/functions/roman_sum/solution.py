# import necessary packages
import re

# all helper functions and constants
STEPS = [
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
    (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
]  # fmt: skip


def to_roman(number):
    """Write a number from 1 to 3999 as a standard numeral."""
    text = ""
    for value, letters in STEPS:
        text += letters * (number // value)
        number %= value
    return text


def from_roman(text):
    """Read a numeral; raise ValueError unless it is the standard form of its value."""
    total, place = 0, 0
    for value, letters in STEPS:
        while text.startswith(letters, place):
            total += value
            place += len(letters)
    if not 1 <= total <= 3999 or to_roman(total) != text:
        raise ValueError(text)
    return total


def show(value):
    """Write any result, zero and negative ones included."""
    if value == 0:
        return "nulla"
    if abs(value) > 3999:
        return "too large"
    return ("-" if value < 0 else "") + to_roman(abs(value))


# main function
def main_solution(sum_text):
    """Add and subtract Roman numerals from left to right."""
    terms = re.split(r" ([+-]) ", sum_text)
    try:
        value = from_roman(terms[0])
        for sign, term in zip(terms[1::2], terms[2::2], strict=True):
            value += from_roman(term) * (1 if sign == "+" else -1)
    except ValueError as error:
        return {"numeral": f"invalid: {error}", "value": 0}
    return {"numeral": show(value), "value": value}
