# import necessary packages
from collections import deque


# all class and function definitions
class RoundRobin:
    """A processor clock, a queue of ready tasks, and the tasks still to arrive."""

    def __init__(self, arrivals, bursts):
        self.clock = 0
        self.left = list(bursts)
        self.coming = deque(sorted((when, task) for task, when in enumerate(arrivals)))
        self.ready = deque()

    def admit(self):
        """Move every task that has arrived by now into the queue."""
        while self.coming and self.coming[0][0] <= self.clock:
            self.ready.append(self.coming.popleft()[1])

    def run(self, quantum):
        """Run all tasks to the end; return their finishing times and the number of switches."""
        finish = [0] * len(self.left)
        switches, last = 0, None
        self.admit()
        while self.ready or self.coming:
            if not self.ready:
                self.clock = self.coming[0][0]
                self.admit()
            task = self.ready.popleft()
            switches += last is not None and last != task
            last = task
            turn = min(quantum, self.left[task])
            self.clock += turn
            self.left[task] -= turn
            self.admit()
            if self.left[task]:
                self.ready.append(task)
            else:
                finish[task] = self.clock
        return finish, switches


# main function
def main_solution(arrivals, bursts, quantum):
    """Schedule tasks in turns and measure how long they wait."""
    finish, switches = RoundRobin(arrivals, bursts).run(quantum)
    waited = sum(finish) - sum(arrivals) - sum(bursts)
    return {"finish": finish, "mean_wait": round(waited / len(bursts), 2), "switches": switches}
