# import necessary packages
from fractions import Fraction


# all class and function definitions
class Calculator:
    """A recursive-descent parser that evaluates while it reads."""

    def __init__(self, text):
        self.text = text
        self.place = 0
        self.open = 0
        self.depth = 0

    def peek(self):
        """Skip spaces and return the next character, or an empty string at the end."""
        while self.place < len(self.text) and self.text[self.place] == " ":
            self.place += 1
        return self.text[self.place : self.place + 1]

    def sum(self):
        """Read products joined by plus and minus."""
        value = self.product()
        while (sign := self.peek()) in ("+", "-"):
            self.place += 1
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self):
        """Read factors joined by times and divide."""
        value = self.factor()
        while (sign := self.peek()) in ("*", "/"):
            self.place += 1
            factor = self.factor()
            value = value * factor if sign == "*" else value / factor
        return value

    def factor(self):
        """Read a number, a bracket, or either of them after a minus sign."""
        head = self.peek()
        if head == "-":
            self.place += 1
            return -self.factor()
        if head == "(":
            self.place += 1
            self.open += 1
            self.depth = max(self.depth, self.open)
            value = self.sum()
            if self.peek() != ")":
                raise SyntaxError
            self.place += 1
            self.open -= 1
            return value
        start = self.place
        while self.text[self.place : self.place + 1].isdigit():
            self.place += 1
        if start == self.place:
            raise SyntaxError
        return Fraction(int(self.text[start : self.place]))


# main function
def main_solution(expression):
    """Evaluate an expression in exact fractions, or say why it cannot be done."""
    calculator = Calculator(expression)
    try:
        result = str(calculator.sum())
        if calculator.peek():
            raise SyntaxError
    except SyntaxError:
        result = f"error at {calculator.place}"
    except ZeroDivisionError:
        result = "division by zero"
    return {"result": result, "depth": calculator.depth}
