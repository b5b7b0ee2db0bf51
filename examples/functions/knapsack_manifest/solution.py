# all helper functions
def best_value_table(weights, values, capacity):
    """Fill table[i][room]: the best value of the first i crates within `room` kilograms."""
    table = [[0] * (capacity + 1)]
    for weight, value in zip(weights, values, strict=True):
        above = table[-1]
        row = []
        for room in range(capacity + 1):
            best = above[room]
            if weight <= room and above[room - weight] + value > best:
                best = above[room - weight] + value
            row.append(best)
        table.append(row)
    return table


def trace_choice(table, weights, capacity):
    """Walk the table backwards and list the crates the best value is made of."""
    chosen = []
    room = capacity
    for i in range(len(weights), 0, -1):
        if table[i][room] != table[i - 1][room]:
            chosen.append(i - 1)
            room -= weights[i - 1]
    chosen.reverse()
    return chosen, room


# main function
def main_solution(weights, values, capacity):
    """Choose the crates that earn the most without exceeding the capacity."""
    table = best_value_table(weights, values, capacity)
    chosen, unused = trace_choice(table, weights, capacity)
    return {"value": table[-1][capacity], "chosen": chosen, "unused": unused}
