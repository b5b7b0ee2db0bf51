# import necessary packages
from collections import Counter


# all helper functions
def peel_waves(needs):
    """Take away ready targets wave by wave until nothing more becomes ready."""
    waiting = {target: set(wanted) for target, wanted in needs.items()}
    waves = []
    while True:
        ready = sorted(target for target, wanted in waiting.items() if not wanted)
        if not ready:
            return waves, "".join(sorted(waiting))
        waves.append("".join(ready))
        for target in ready:
            del waiting[target]
        for wanted in waiting.values():
            wanted.difference_update(ready)


def most_needed_target(needs):
    """Name the target that appears in the most lists of needs."""
    counts = Counter()
    for wanted in needs.values():
        counts.update(set(wanted))
    return min(needs, key=lambda target: (-counts[target], target))


# main function
def main_solution(needs):
    """Sort build targets into waves and report those caught in a circle."""
    waves, stuck = peel_waves(needs)
    return {"waves": waves, "stuck": stuck, "most_needed": most_needed_target(needs)}
