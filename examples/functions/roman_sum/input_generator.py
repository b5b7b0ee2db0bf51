import random


def input_generator():
    """Two to four numerals; one in twelve is spelt in a way the Romans would not accept."""

    def numeral():
        if random.random() < 0.08:
            return random.choice(["IIX", "VV", "IC", "XXXX", "LXL"])
        hundreds = ["", "C", "CC", "CCC", "CD", "D", "DC", "DCC", "DCCC", "CM"]
        tens = ["", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC"]
        ones = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
        big = random.choice(["", "", "", "M", "MM"])
        return big + random.choice(["", *hundreds]) + random.choice(tens) + random.choice(ones)

    text = numeral()
    for _ in range(random.randint(1, 3)):
        text += random.choice([" + ", " - "]) + numeral()
    return {"sum_text": text}
