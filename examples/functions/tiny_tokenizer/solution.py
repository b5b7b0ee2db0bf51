# import necessary packages
import re

# all helper functions and constants
KEYWORDS = {"let", "if", "else", "while", "fn"}
PATTERN = re.compile(
    r"""
    (?P<skip>[ ]+|\#.*)
  | (?P<N>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<F>[0-9]+\.[0-9]+)
  | (?P<I>[0-9]+)
  | (?P<S>"[^"]*")
  | (?P<O>==|!=|<=|>=|->|[-+*/<>=])
  | (?P<P>[(){},;])
    """,
    re.VERBOSE,
)


def scan(line):
    """Yield (kind, text) for each token, and finally ("stop", position) if one does not fit."""
    place = 0
    while place < len(line):
        match = PATTERN.match(line, place)
        if match is None:
            yield "stop", str(place)
            return
        place = match.end()
        kind, text = match.lastgroup, match.group()
        if kind == "N" and text in KEYWORDS:
            kind = "K"
        if kind != "skip":
            yield kind, text


# main function
def main_solution(line):
    """Tokenise one line of a small language and summarise what is in it."""
    kinds, names, total, stopped = "", [], 0.0, -1
    for kind, text in scan(line):
        if kind == "stop":
            stopped = int(text)
            break
        kinds += kind
        if kind == "N" and text not in names:
            names.append(text)
        elif kind in "IF":
            total += float(text)
    return {"kinds": kinds, "names": names, "number_sum": round(total, 3), "stopped_at": stopped}
