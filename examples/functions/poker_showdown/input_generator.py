import random


def input_generator():
    """Deal from short packs too, so that strong hands and close decisions are common."""
    ranks = random.choice(["23456789TJQKA", "2345A", "9TJQKA", "789TJ"])
    suits = random.choice(["CDHS", "CDHS", "HS"])
    pack = [rank + suit for rank in ranks for suit in suits]
    if len(pack) < 12:
        pack = [rank + suit for rank in ranks for suit in "CDHS"]
    cards = random.sample(pack, 10)
    return {"first": " ".join(cards[:5]), "second": " ".join(cards[5:])}
