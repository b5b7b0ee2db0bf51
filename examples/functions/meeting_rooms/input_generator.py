import random


def input_generator():
    """Two to eight meetings on quarter hours, so that some of them touch."""
    meetings = []
    for _ in range(random.randint(2, 8)):
        start = random.randrange(8 * 60, 17 * 60, 15)
        end = min(start + random.choice([15, 30, 45, 60, 90, 120]), 18 * 60)
        meetings.append(f"{start // 60:02d}:{start % 60:02d}-{end // 60:02d}:{end % 60:02d}")
    return {"meetings": meetings}
