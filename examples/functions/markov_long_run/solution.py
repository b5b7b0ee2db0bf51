# import necessary packages
import numpy as np


# all helper functions
def tidy(number, digits=4):
    """Round in two stages, so that noise in the last bits cannot decide a tie."""
    return round(round(float(number), 10), digits) + 0.0


def transition_matrix(weights):
    """Scale each row so that it sums to one."""
    table = np.array(weights, dtype=float)
    return table / table.sum(axis=1, keepdims=True)


def stationary_shares(matrix):
    """Solve share = share @ matrix together with sum(share) = 1."""
    size = matrix.shape[0]
    system = matrix.T - np.eye(size)
    system[-1, :] = 1.0
    right = np.zeros(size)
    right[-1] = 1.0
    return np.linalg.solve(system, right)


# main function
def main_solution(weights):
    """Describe where a Markov chain spends its time in the long run."""
    matrix = transition_matrix(weights)
    share = [tidy(value, 10) for value in stationary_shares(matrix).tolist()]
    rarest = min(share)
    return {
        "share": [tidy(value) for value in share],
        "rarest_return": tidy(1 / rarest),
        "back_in_two": tidy((matrix @ matrix)[0, 0]),
    }
