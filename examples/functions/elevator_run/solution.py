# all class and function definitions
class Elevator:
    """An elevator that serves the floors ahead of it before it turns round."""

    def __init__(self, start, riders):
        self.floor = start
        self.waiting = [tuple(int(part) for part in rider.split(">")) for rider in riders]
        self.inside = []
        self.stops = []
        self.travelled = 0
        self.most_inside = 0

    def wanted(self):
        """List the floors at which somebody wants the elevator."""
        return [origin for origin, _ in self.waiting] + [target for _, target in self.inside]

    def open_doors(self):
        """Let riders out and in, if there are any at this floor."""
        if self.floor not in self.wanted():
            return
        self.stops.append(self.floor)
        self.inside = [rider for rider in self.inside if rider[1] != self.floor]
        self.inside += [rider for rider in self.waiting if rider[0] == self.floor]
        self.waiting = [rider for rider in self.waiting if rider[0] != self.floor]
        self.most_inside = max(self.most_inside, len(self.inside))

    def run(self):
        """Move floor by floor until nobody waits and nobody is inside."""
        direction = 1 if any(floor >= self.floor for floor in self.wanted()) else -1
        self.open_doors()
        while self.wanted():
            if not any((floor - self.floor) * direction > 0 for floor in self.wanted()):
                direction = -direction
            self.floor += direction
            self.travelled += 1
            self.open_doors()


# main function
def main_solution(start, riders):
    """Simulate one elevator until every rider has arrived."""
    elevator = Elevator(start, riders)
    elevator.run()
    return {
        "stops": elevator.stops,
        "travelled": elevator.travelled,
        "most_inside": elevator.most_inside,
    }
