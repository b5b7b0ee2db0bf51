import random
from datetime import date, timedelta


def input_generator():
    """One to four members who joined between 2001 and 2014."""
    names = random.sample(["ann", "bob", "cid", "dora", "eve"], random.randint(1, 4))
    first = date(2001, 1, 1)
    return {
        "joined": {
            name: (first + timedelta(days=random.randint(0, 5000))).isoformat() for name in names
        }
    }
