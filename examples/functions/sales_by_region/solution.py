# import necessary packages
import pandas as pd

# all helper functions and constants
ORDER = r"^(?P<region>[a-z]+) (?P<units>[0-9]+) x (?P<cents>[0-9]+)$"


def order_table(orders):
    """Split the lines into columns, drop what does not fit, and add what each order took."""
    frame = pd.Series(orders, dtype="object").str.extract(ORDER).dropna()
    frame = frame.astype({"units": "int64", "cents": "int64"})
    frame["taken"] = frame["units"] * frame["cents"]
    return frame


def best_region(takings):
    """Name the region with the largest takings; the index is sorted, so the first one wins."""
    return str(takings.index[int(takings.to_numpy().argmax())])


# main function
def main_solution(orders):
    """Add up orders by region and find the strongest region."""
    frame = order_table(orders)
    takings = frame.groupby("region", sort=True)["taken"].sum()
    best = best_region(takings)
    return {
        "takings": {str(region): int(total) for region, total in takings.items()},
        "best": best,
        "best_share": round(100 * int(takings[best]) / int(takings.sum()), 1),
        "median_units": float(frame["units"].median()),
    }
