# import necessary packages
from datetime import date


# all class and function definitions
class Member:
    """A name and a date of joining."""

    def __init__(self, name, joined):
        self.name = name
        self.joined = date.fromisoformat(joined)

    def days(self, today):
        """Count the days of membership up to a date."""
        return (today - self.joined).days


def first_to_join(members):
    """Find the member with the earliest date; min keeps the first among equals."""
    return min(members, key=lambda member: member.joined)


# main function
def main_solution(joined):
    """Work out how long the members of a club have belonged to it.

    The answer is right today and wrong tomorrow: the function asks the clock instead of being
    told the date.
    """
    today = date.today()
    members = [Member(name, day) for name, day in joined.items()]
    oldest = first_to_join(members)
    return {
        "days": [member.days(today) for member in members],
        "oldest": oldest.name,
        "oldest_days": oldest.days(today),
    }
