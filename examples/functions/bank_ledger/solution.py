# all class and function definitions
class Ledger:
    """Balances, the fees taken, and the accepted orders that can still be reversed."""

    FEE = 2

    def __init__(self, balances, overdraft):
        self.balances = list(balances)
        self.overdraft = overdraft
        self.fees = 0
        self.history = []

    def post(self, changes, fee=0):
        """Apply a set of changes to the balances."""
        for account, amount in changes.items():
            self.balances[account] += amount
        self.fees += fee

    def undo(self):
        """Reverse the latest accepted order; say whether there was one."""
        if not self.history:
            return False
        changes, fee = self.history.pop()
        self.post({account: -amount for account, amount in changes.items()}, -fee)
        return True

    def accept(self, changes):
        """Apply an order with its fee if the rules allow it; say whether they did."""
        if any(account >= len(self.balances) for account in changes):
            return False
        changes, fee = dict(changes), 0
        for account, amount in list(changes.items()):
            balance = self.balances[account]
            if amount < 0 <= balance and balance + amount < 0:
                changes[account] -= self.FEE
                fee = self.FEE
            if amount < 0 and balance + changes[account] < -self.overdraft:
                return False
        self.post(changes, fee)
        self.history.append((changes, fee))
        return True

    def execute(self, order):
        """Carry out one order; say whether it was accepted."""
        kind, *numbers = order.split()
        if kind == "undo":
            return self.undo()
        *accounts, amount = (int(number) for number in numbers)
        if kind == "move":
            origin, target = accounts
            return origin != target and self.accept({origin: -amount, target: amount})
        return self.accept({accounts[0]: amount if kind == "in" else -amount})


# main function
def main_solution(balances, orders, overdraft):
    """Work through the orders of a day at a bank."""
    ledger = Ledger(balances, overdraft)
    rejected = [place for place, order in enumerate(orders) if not ledger.execute(order)]
    return {"balances": ledger.balances, "rejected": rejected, "fees": ledger.fees}
