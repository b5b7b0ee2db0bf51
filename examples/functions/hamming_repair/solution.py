# all helper functions and constants
DATA_POSITIONS = (3, 5, 6, 7)


def bit_at(word, position):
    """Read a bit, positions 1 to 8 counted from the highest."""
    return word >> (8 - position) & 1


def syndrome(word):
    """XOR the positions 1 to 7 that hold a one: zero if the three checks agree."""
    result = 0
    for position in range(1, 8):
        if bit_at(word, position):
            result ^= position
    return result


def repair(word):
    """Return the repaired word and the position repaired, or -1 if two bits are wrong."""
    odd = word.bit_count() & 1
    where = syndrome(word)
    if not odd:
        return word, (-1 if where else 0)
    position = where or 8
    return word ^ 1 << (8 - position), position


def read_data(word):
    """Collect the four data bits into a number."""
    value = 0
    for position in DATA_POSITIONS:
        value = value << 1 | bit_at(word, position)
    return value


# main function
def main_solution(words):
    """Decode words of the extended Hamming code, repairing single errors."""
    data, repaired = "", []
    for word in words:
        fixed, position = repair(word)
        data += "?" if position == -1 else f"{read_data(fixed):x}"
        repaired.append(position)
    return {"data": data, "repaired": repaired}
