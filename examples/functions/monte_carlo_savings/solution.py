# import necessary packages
import random
import statistics

# all helper functions and constants
RUNS = 200


def one_run(monthly, months, mean_percent, spread_percent):
    """Simulate one saver and return the final amount."""
    amount = 0.0
    for _ in range(months):
        change = random.gauss(mean_percent, spread_percent) / 100
        amount = (amount + monthly) * (1 + change)
    return amount


# main function
def main_solution(monthly, months, mean_percent, spread_percent):
    """Estimate by simulation what a savings plan brings.

    The generator of random numbers is not seeded, so each run gives another estimate.
    """
    finals = [one_run(monthly, months, mean_percent, spread_percent) for _ in range(RUNS)]
    paid_in = monthly * months
    return {
        "mean_final": round(statistics.fmean(finals), 4),
        "share_of_losses": sum(final < paid_in for final in finals) / RUNS,
    }
