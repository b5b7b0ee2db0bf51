import random


def input_generator():
    """Three to six lines, each damaged one time in six."""
    lines = []
    for _ in range(random.randint(3, 6)):
        clock = (
            f"{random.randint(9, 11):02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}"
        )
        method = random.choice(["GET", "GET", "POST", "PUT"])
        path = random.choice(["/", "/cart", "/pay", "/search"])
        status = random.choice([200, 200, 200, 301, 404, 500, 503])
        line = f"{clock} {method} {path} {status} {random.randint(3, 900)}ms"
        if random.random() < 0.17:
            line = random.choice(
                [
                    line[:-2],
                    line.replace(":", ".", 1),
                    "27" + line[2:],
                    line.replace(" /", "  /", 1),
                ]
            )
        lines.append(line)
    return {"lines": lines}
