# import necessary packages
from collections import Counter

# all helper functions and constants
RANKS = "23456789TJQKA"
KINDS = [
    "high card", "pair", "two pair", "three of a kind", "straight",
    "flush", "full house", "four of a kind", "straight flush",
]  # fmt: skip
BY_GROUPS = {(1, 1): 0, (2, 1): 1, (2, 2): 2, (3, 1): 3, (3, 2): 6, (4, 1): 7}


def straight_top(ranks):
    """Return the highest rank of a straight, or None if the ranks form none."""
    if sorted(ranks) == [0, 1, 2, 3, 12]:
        return 3
    if len(set(ranks)) == 5 and max(ranks) - min(ranks) == 4:
        return max(ranks)
    return None


def rate(hand):
    """Return the kind of a hand and its ranks in the order in which they are compared."""
    cards = hand.split()
    ranks = [RANKS.index(card[0]) for card in cards]
    groups = sorted(Counter(ranks).items(), key=lambda item: (-item[1], -item[0]))
    flush = len({card[1] for card in cards}) == 1
    top = straight_top(ranks)
    if top is not None:
        return (8 if flush else 4), [top]
    kind = 5 if flush else BY_GROUPS[groups[0][1], groups[1][1]]
    return kind, [rank for rank, _ in groups]


# main function
def main_solution(first, second):
    """Decide which of two poker hands wins, and on what."""
    one, two = rate(first), rate(second)
    winner = "tie" if one == two else "first" if one > two else "second"
    decided_by = ""
    if one[0] == two[0] and winner != "tie":
        pair = next((a, b) for a, b in zip(one[1], two[1], strict=True) if a != b)
        decided_by = RANKS[max(pair)]
    return {"winner": winner, "kinds": [KINDS[one[0]], KINDS[two[0]]], "decided_by": decided_by}
