# import necessary packages
from collections import deque


# all helper functions
def print_turn(pages_left, pages_per_turn):
    """Print one turn's worth of pages and return what is left.

    This is the mistake: a remainder smaller than a full turn is never printed.
    """
    if pages_left >= pages_per_turn:
        return pages_left - pages_per_turn
    return pages_left


# main function
def main_solution(jobs, pages_per_turn):
    """Serve the print queue until it is empty, which it never is."""
    queue = deque(enumerate(jobs))
    finished = [0] * len(jobs)
    turn = 0
    while queue:
        turn += 1
        number, pages = queue.popleft()
        pages = print_turn(pages, pages_per_turn)
        if pages:
            queue.append((number, pages))
        else:
            finished[number] = turn
    return finished
