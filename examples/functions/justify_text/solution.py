# all helper functions
def split_words(text, width):
    """Split at spaces, then cut words that are longer than a line."""
    pieces = []
    for word in text.split():
        pieces += [word[i : i + width] for i in range(0, len(word), width)]
    return pieces


def fill_lines(words, width):
    """Group words greedily into the lines they fit on."""
    lines = [[]]
    for word in words:
        length = sum(len(w) for w in lines[-1]) + len(lines[-1])
        if lines[-1] and length + len(word) > width:
            lines.append([])
        lines[-1].append(word)
    return [line for line in lines if line]


def gap_sizes(line, width, last):
    """Say how many spaces go into each gap of a line."""
    gaps = len(line) - 1
    if last or gaps == 0:
        return [1] * gaps
    share, extra = divmod(width - sum(len(word) for word in line), gaps)
    return [share + (i < extra) for i in range(gaps)]


# main function
def main_solution(text, width):
    """Set a text in justified lines."""
    lines = fill_lines(split_words(text, width), width)
    done, widest = [], 0
    for number, line in enumerate(lines):
        gaps = gap_sizes(line, width, last=number == len(lines) - 1)
        widest = max([widest, *gaps])
        done.append("".join(word + " " * gap for word, gap in zip(line, [*gaps, 0], strict=True)))
    return {"lines": done, "widest_gap": widest}
