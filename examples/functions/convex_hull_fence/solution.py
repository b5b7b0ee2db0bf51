# import necessary packages
import math


# all helper functions
def turn(o, a, b):
    """Return a positive number for a left turn at a on the way from o to b."""
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def half_hull(points):
    """Keep the points that turn strictly left along one side."""
    chain = []
    for point in points:
        while len(chain) > 1 and turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def hull(points):
    """Join the lower and the upper chain, without repeating their ends."""
    ordered = sorted(set(points))
    if len(ordered) == 1:
        return ordered
    return half_hull(ordered)[:-1] + half_hull(ordered[::-1])[:-1]


# main function
def main_solution(xs, ys):
    """Find the corners, area and length of the tightest fence around some posts."""
    points = list(zip(xs, ys, strict=True))
    corners = hull(points)
    area, length = 0, 0.0
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        area += x1 * y2 - x2 * y1
        length += math.sqrt((x2 - x1) ** 2 + (y2 - y1) ** 2)
    return {
        "corners": [points.index(corner) for corner in corners],
        "double_area": area,
        "length": round(length, 2),
    }
