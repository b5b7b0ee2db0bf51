# all helper functions
def fits(cells, place, digit):
    """Check that a digit occurs nowhere else in the row, column and block of a cell."""
    row, column = divmod(place, 4)
    for other, value in enumerate(cells):
        if value != digit or other == place:
            continue
        r, c = divmod(other, 4)
        if r == row or c == column or (r // 2 == row // 2 and c // 2 == column // 2):
            return False
    return True


def fillings(cells, place=0):
    """Yield every complete filling, smallest first, by trying digits in reading order."""
    if place == 16:
        yield "".join(cells)
    elif cells[place] != ".":
        if fits(cells, place, cells[place]):
            yield from fillings(cells, place + 1)
    else:
        for digit in "1234":
            if fits(cells, place, digit):
                tried = [*cells[:place], digit, *cells[place + 1 :]]
                yield from fillings(tried, place + 1)


def forced_cells(given, found):
    """Name the empty cells on which all fillings agree."""
    return [
        f"{place // 4},{place % 4}"
        for place in range(16)
        if given[place] == "." and len({filling[place] for filling in found}) == 1
    ]


# main function
def main_solution(rows):
    """Count the fillings of a small sudoku and find the cells they agree on."""
    given = "".join(rows)
    found = list(fillings(list(given)))
    first = [found[0][i : i + 4] for i in range(0, 16, 4)] if found else []
    return {"fillings": len(found), "first": first, "forced": forced_cells(given, found)[:3]}
