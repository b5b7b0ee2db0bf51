# all class and function definitions
class Cell:
    """A cell with a genome of its own."""

    GENOME_BYTES = 64 * 1024

    def __init__(self, genome):
        self.genome = genome

    def divide(self, place):
        """Return a daughter whose genome is a full copy, changed in one place."""
        genome = bytearray(self.genome)
        genome[place % self.GENOME_BYTES] ^= 1
        return Cell(genome)


class Colony:
    """Cells that divide for as long as they are fed."""

    def __init__(self, founders):
        self.cells = [Cell(bytearray([i % 255 + 1]) * Cell.GENOME_BYTES) for i in range(founders)]
        self.generation = 0

    def grow(self):
        """Let every cell divide once, one after the other."""
        for place in range(len(self.cells)):
            self.cells.append(self.cells[place].divide(place))
        self.generation += 1


# main function
def main_solution(founders, generations):
    """Feed a colony for some generations.

    This is the mistake: the loop waits for a negative number of generations left, and the number
    left is counted as a distance, which never is negative. The colony grows until it is stopped.
    """
    colony = Colony(founders)
    while abs(generations - colony.generation) >= 0:
        colony.grow()
    checksum = sum(cell.genome[0] for cell in colony.cells) % 1000
    return {"cells": len(colony.cells), "checksum": checksum}
