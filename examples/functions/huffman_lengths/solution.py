# import necessary packages
import heapq
from collections import Counter


# all helper functions
def code_lengths(text):
    """Join the lightest trees until one is left, counting the joins each character is in."""
    counts = Counter(text)
    if len(counts) == 1:
        return {text[0]: 1}
    depth = dict.fromkeys(counts, 0)
    trees = [(count, letter, letter) for letter, count in counts.items()]
    heapq.heapify(trees)
    while len(trees) > 1:
        weight_a, first_a, letters_a = heapq.heappop(trees)
        weight_b, first_b, letters_b = heapq.heappop(trees)
        for letter in letters_a + letters_b:
            depth[letter] += 1
        joined = (weight_a + weight_b, min(first_a, first_b), letters_a + letters_b)
        heapq.heappush(trees, joined)
    return depth


def canonical_codes(lengths):
    """Number the characters in order of length and name, and write the numbers in binary."""
    codes, number, previous = {}, -1, 0
    for letter in sorted(lengths, key=lambda c: (lengths[c], c)):
        length = lengths[letter]
        number = (number + 1) << (length - previous)
        previous = length
        codes[letter] = f"{number:0{length}b}"
    return codes


# main function
def main_solution(text):
    """Encode a text with the canonical Huffman code of its own characters."""
    codes = canonical_codes(code_lengths(text))
    stream = "".join(codes[letter] for letter in text)
    padded = stream + "0" * (-len(stream) % 4)
    return {
        "bits": len(stream),
        "codes": [f"{letter}={code}" for letter, code in codes.items()],
        "encoded": "".join(f"{int(padded[i : i + 4], 2):x}" for i in range(0, len(padded), 4)),
    }
