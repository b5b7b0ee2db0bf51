# all class and function definitions
class Board:
    """The living cells of a board whose edges are joined."""

    def __init__(self, rows):
        self.height = len(rows)
        self.width = len(rows[0])
        self.alive = frozenset(
            (r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == "#"
        )

    def neighbours(self, row, column):
        """Count the living cells among the eight around one."""
        return sum(
            ((row + down) % self.height, (column + right) % self.width) in self.alive
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if down or right
        )

    def advance(self):
        """Replace the living cells by those of the next generation."""
        self.alive = frozenset(
            (r, c)
            for r in range(self.height)
            for c in range(self.width)
            if self.neighbours(r, c) == 3 or (self.neighbours(r, c) == 2 and (r, c) in self.alive)
        )

    def rows(self):
        """Draw the board as text."""
        return [
            "".join("#" if (r, c) in self.alive else "." for c in range(self.width))
            for r in range(self.height)
        ]


# main function
def main_solution(board, generations):
    """Play the game of life until it repeats itself or the generations are used up."""
    game = Board(board)
    first_seen = {game.alive: 0}
    played = period = 0
    while played < generations and not period:
        game.advance()
        played += 1
        period = played - first_seen.setdefault(game.alive, played)
    return {"board": game.rows(), "alive": len(game.alive), "played": played, "period": period}
