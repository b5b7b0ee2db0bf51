# import necessary packages
from collections import deque


# all helper functions
def find_robot(maze):
    """Locate the cell the robot starts from."""
    for row, line in enumerate(maze):
        if "@" in line:
            return row, line.index("@")
    raise ValueError("the maze has no robot")


def neighbours(maze, row, column, keys):
    """Yield the cells one step away that the robot may enter with these keys."""
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = row + down, column + right
        if not (0 <= r < len(maze) and 0 <= c < len(maze[0])):
            continue
        cell = maze[r][c]
        if cell == "#" or (cell.isupper() and cell.lower() not in keys):
            continue
        yield r, c, (keys | {cell} if cell.islower() else keys)


# main function
def main_solution(maze):
    """Search cells together with the keys held, breadth first, and keep the first arrival."""
    row, column = find_robot(maze)
    start = (row, column, frozenset())
    steps_to = {start: 0}
    queue = deque([start])
    arrival = -1
    found = set()
    while queue:
        state = queue.popleft()
        row, column, keys = state
        found |= keys
        if maze[row][column] == "!" and arrival < 0:
            arrival = steps_to[state]
        for following in neighbours(maze, row, column, keys):
            if following not in steps_to:
                steps_to[following] = steps_to[state] + 1
                queue.append(following)
    return {"steps": arrival, "keys": "".join(sorted(found))}
