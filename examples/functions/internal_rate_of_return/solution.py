# import necessary packages
from itertools import accumulate

from scipy.optimize import brentq

# all helper functions and constants
LOWEST, HIGHEST = -0.9, 5.0


def present_worth(rate, outlay, incomes):
    """Discount the incomes to today and take off the outlay, by Horner's rule."""
    worth = 0.0
    for income in reversed(incomes):
        worth = (worth + income) / (1 + rate)
    return worth - outlay


def find_rate(outlay, incomes):
    """Return the rate at which the worth is zero, or None if the range does not hold it."""
    low = present_worth(LOWEST, outlay, incomes)
    high = present_worth(HIGHEST, outlay, incomes)
    if low < 0 or high > 0:
        return None
    return float(brentq(present_worth, LOWEST, HIGHEST, args=(outlay, incomes), xtol=1e-13))


def pay_back_year(outlay, incomes):
    """Count the years until the plain sum of the incomes reaches the outlay."""
    for year, total in enumerate(accumulate(incomes), start=1):
        if total >= outlay:
            return year
    return -1


# main function
def main_solution(outlay, incomes):
    """Judge a project by its internal rate of return."""
    rate = find_rate(outlay, incomes)
    return {
        "has_rate": rate is not None,
        "rate_percent": 0.0 if rate is None else round(round(rate * 100, 8), 3) + 0.0,
        "worth_at_8": round(present_worth(0.08, outlay, incomes), 2) + 0.0,
        "paid_back_in": pay_back_year(outlay, incomes),
    }
