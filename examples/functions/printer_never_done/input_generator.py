import random


def input_generator():
    """Two to five jobs, the first of which always leaves a remainder."""
    pages_per_turn = random.randint(2, 6)
    jobs = [random.randint(1, 20) for _ in range(random.randint(2, 5))]
    jobs[0] = pages_per_turn * random.randint(0, 4) + random.randint(1, pages_per_turn - 1)
    return {"jobs": jobs, "pages_per_turn": pages_per_turn}
