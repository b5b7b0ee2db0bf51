import random
from datetime import date, timedelta


def input_generator():
    """A date between 2000 and 2040 and up to four holidays in the two weeks after it."""
    sent = date(random.randint(2000, 2040), random.randint(1, 12), random.randint(1, 28))
    offsets = random.sample(range(1, 15), random.randint(0, 4))
    return {
        "sent": sent.isoformat(),
        "working_days": random.randint(1, 10),
        "holidays": [(sent + timedelta(days=offset)).isoformat() for offset in offsets],
    }
