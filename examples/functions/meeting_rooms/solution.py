# all helper functions and constants
OPEN, CLOSE, SHORTEST = 8 * 60, 18 * 60, 30


def to_minutes(clock):
    """Turn HH:MM into minutes after midnight."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def to_clock(minutes):
    """Turn minutes after midnight into HH:MM."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def most_at_once(spans):
    """Sweep over starts and ends; at the same minute ends come first."""
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    running, most, since = 0, 0, OPEN
    for minute, change in events:
        running += change
        if running > most:
            most, since = running, minute
    return most, since


def quiet_stretches(spans):
    """List the gaps in the merged meetings that are long enough."""
    gaps = []
    reached = OPEN
    for start, end in [*sorted(spans), (CLOSE, CLOSE)]:
        if start - reached >= SHORTEST:
            gaps.append(f"{to_clock(reached)}-{to_clock(start)}")
        reached = max(reached, end)
    return gaps


# main function
def main_solution(meetings):
    """Count the rooms a day of meetings needs and find its quiet stretches."""
    spans = [tuple(to_minutes(clock) for clock in meeting.split("-")) for meeting in meetings]
    rooms, since = most_at_once(spans)
    return {"rooms": rooms, "busiest_from": to_clock(since), "quiet": quiet_stretches(spans)}
