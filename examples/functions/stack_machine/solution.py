# all class and function definitions
class MachineError(Exception):
    """The reason a program cannot go on."""


NEEDS = {"add": 2, "sub": 2, "mul": 2, "mod": 2, "swap": 2, "dup": 1, "drop": 1, "jz": 1}
LONGEST = 60


class Machine:
    """A program, the place it has reached, and its stack."""

    def __init__(self, program):
        self.program, self.place, self.stack, self.executed = program, 0, [], 0

    def jump(self, target):
        """Return a jump's target if it lies in the program or just behind it."""
        if not 0 <= target <= len(self.program):
            raise MachineError("bad jump")
        return target

    def step(self):
        """Execute one instruction, or raise MachineError and leave everything as it is."""
        name, *number = self.program[self.place].split()
        stack, following = self.stack, self.place + 1
        if len(stack) < NEEDS.get(name, 0):
            raise MachineError("underflow")
        if name == "mod" and stack[-1] == 0:
            raise MachineError("zero")
        if name == "jmp" or (name == "jz" and stack[-1] == 0):
            following = self.jump(int(number[0]))
        if name == "push":
            stack.append(int(number[0]))
        elif name == "dup":
            stack.append(stack[-1])
        elif name in ("drop", "jz"):
            stack.pop()
        elif name != "jmp":
            b, a = stack.pop(), stack.pop()
            results = {"add": (a + b,), "sub": (a - b,), "mul": (a * b,), "swap": (b, a)}
            stack.extend(results[name] if name in results else (a % b,))
        self.place = following
        self.executed += 1


# main function
def main_solution(program):
    """Run a program on a stack machine and report how it ended."""
    machine = Machine(program)
    ended = "done"
    try:
        while machine.place < len(program):
            if machine.executed == LONGEST:
                raise MachineError("too long")
            machine.step()
    except MachineError as reason:
        ended = str(reason)
    return {"ended": ended, "stack": machine.stack[-8:], "executed": machine.executed}
