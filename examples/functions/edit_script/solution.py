# all helper functions
def distance_table(source, target):
    """Fill table[i][j]: the edits needed from source[:i] to target[:j]."""
    table = [[0] * (len(target) + 1) for _ in range(len(source) + 1)]
    for i in range(len(source) + 1):
        for j in range(len(target) + 1):
            if i == 0 or j == 0:
                table[i][j] = i + j
                continue
            change = 0 if source[i - 1] == target[j - 1] else 1
            table[i][j] = min(
                table[i - 1][j - 1] + change,
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
            )
    return table


def backtrack(table, source, target):
    """Read one cheapest script off the table, from the end of both words."""
    i, j = len(source), len(target)
    steps = []
    while i > 0 or j > 0:
        if i > 0 and j > 0:
            same = source[i - 1] == target[j - 1]
            if table[i][j] == table[i - 1][j - 1] + (0 if same else 1):
                steps.append("=" if same else "s")
                i, j = i - 1, j - 1
                continue
        if i > 0 and table[i][j] == table[i - 1][j] + 1:
            steps.append("d")
            i -= 1
        else:
            steps.append("i")
            j -= 1
    return "".join(reversed(steps))


# main function
def main_solution(source, target):
    """Find the fewest edits from one word to another and write them as a script."""
    table = distance_table(source, target)
    return {
        "edits": table[len(source)][len(target)],
        "script": backtrack(table, source, target),
    }
