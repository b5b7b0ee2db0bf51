# import necessary packages
from functools import cache


# all helper functions
def left_to_right_cost(dims):
    """Count the multiplications when the chain is multiplied as it is written."""
    return sum(dims[0] * dims[i] * dims[i + 1] for i in range(1, len(dims) - 1))


def make_solver(dims):
    """Return a memoised solver over the half-open ranges of the chain."""

    @cache
    def solve(first, end):
        if end - first == 1:
            return 0, chr(ord("A") + first)
        best_cost, best_order = None, ""
        for split in range(first + 1, end):
            left_cost, left_order = solve(first, split)
            right_cost, right_order = solve(split, end)
            cost = left_cost + right_cost + dims[first] * dims[split] * dims[end]
            if best_cost is None or cost < best_cost:
                best_cost, best_order = cost, f"({left_order}{right_order})"
        return best_cost, best_order

    return solve


# main function
def main_solution(dims):
    """Find the cheapest order in which to multiply a chain of matrices."""
    cost, order = make_solver(tuple(dims))(0, len(dims) - 1)
    ratio = round(left_to_right_cost(dims) / cost, 2) if cost else 1.0
    return {"cost": cost, "order": order, "naive_ratio": ratio}
