# import necessary packages
from datetime import date, timedelta

# all helper functions and constants
NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
ONE_DAY = timedelta(days=1)


def observed_holidays(holidays):
    """Move weekend holidays to the next weekday that is still free."""
    listed = sorted(date.fromisoformat(text) for text in holidays)
    observed = {day for day in listed if day.weekday() < 5}
    for day in listed:
        if day.weekday() < 5:
            continue
        while day.weekday() >= 5 or day in observed:
            day += ONE_DAY
        observed.add(day)
    return observed


# main function
def main_solution(sent, working_days, holidays):
    """Count working days forward from a date."""
    off = observed_holidays(holidays)
    start = date.fromisoformat(sent)
    day, left, lost = start, working_days, 0
    while left:
        day += ONE_DAY
        if day in off:
            lost += 1
        elif day.weekday() < 5:
            left -= 1
    return {
        "arrives": day.isoformat(),
        "weekday": NAMES[day.weekday()],
        "calendar_days": (day - start).days,
        "lost_to_holidays": lost,
    }
