# import necessary packages
import math

# all helper functions and constants
GRAVITY = 9.81
STEP = 0.01


def slope(state, drag):
    """Return the rate of change of (x, y, vx, vy)."""
    _, _, vx, vy = state
    speed = math.sqrt(vx * vx + vy * vy)
    return vx, vy, -drag * speed * vx, -GRAVITY - drag * speed * vy


def moved(state, rate, time):
    """Follow a rate of change for some time."""
    return tuple(value + time * change for value, change in zip(state, rate, strict=True))


def runge_kutta_step(state, drag):
    """Advance the flight by one classical fourth-order step."""
    k1 = slope(state, drag)
    k2 = slope(moved(state, k1, STEP / 2), drag)
    k3 = slope(moved(state, k2, STEP / 2), drag)
    k4 = slope(moved(state, k3, STEP), drag)
    mean = [(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
    return moved(state, mean, STEP)


# main function
def main_solution(speed, angle_deg, drag):
    """Integrate the flight of a ball through air until it lands."""
    angle = math.radians(angle_deg)
    state = (0.0, 0.0, speed * math.cos(angle), speed * math.sin(angle))
    steps, peak = 0, 0.0
    while True:
        before, state = state, runge_kutta_step(state, drag)
        peak = max(peak, state[1])
        if state[1] < 0:
            break
        steps += 1
    part = before[1] / (before[1] - state[1])
    kept = (state[2] ** 2 + state[3] ** 2) / speed**2
    return {
        "range_m": round(before[0] + part * (state[0] - before[0]), 2),
        "peak_m": round(peak, 2),
        "flight_s": round((steps + part) * STEP, 2),
        "energy_lost": round(max(0.0, 1 - kept), 2),
    }
