// Examples to pick, of what the service is for.

import type { Values } from "./fields";
import type { Mode } from "./requests";

export interface Example {
  name: string;
  values: Values;
}

const SUM = `def main_solution(numbers):
    total = 0
    for number in numbers:
        total += number
    print("added", len(numbers), "numbers")
    return {"total": total, "mean": total / len(numbers)}
`;

export const EXAMPLES: Record<Mode, readonly Example[]> = {
  function: [
    {
      name: "Sum and mean, one call that fails",
      values: { code: SUM, calls: '{"numbers": [3, 4, 5]}\n{"numbers": [0.1, 0.2]}\n{"numbers": []}' },
    },
    {
      name: "Not deterministic: the order of a set",
      values: {
        code: `def main_solution(words):
    unique = set(words)
    return {"first": next(iter(unique)), "all": list(unique)}
`,
        calls: '{"words": ["pear", "fig", "apple", "plum", "lime"]}',
        runs: "3",
      },
    },
    {
      name: "Not deterministic: the clock",
      values: {
        code: `from datetime import date


def main_solution(born_in):
    return {"age": date.today().year - born_in}
`,
        calls: '{"born_in": 1990}',
        runs: "2",
      },
    },
    {
      name: "Too large for a training pair",
      values: {
        code: `def main_solution(n):
    return {"squares": [i * i for i in range(n)], "text": "x" * (n * 5)}
`,
        calls: '{"n": 4}\n{"n": 30}',
        complexity: "yes",
      },
    },
    {
      name: "Never ends",
      values: {
        code: `def main_solution(n):
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n - 1
    return n
`,
        calls: '{"n": 5}',
        cpu_time_s: "1",
      },
    },
    {
      name: "Wants too much memory",
      values: {
        code: `def main_solution(mib):
    blocks = [bytearray(1024 * 1024) for _ in range(mib)]
    return len(blocks)
`,
        calls: "[20]\n[2000]",
        memory_mb: "256",
      },
    },
  ],
  program: [
    {
      name: "Sum of what is read",
      values: {
        code: `import sys

numbers = [int(word) for word in sys.stdin.read().split()]
print("sum", sum(numbers))
`,
        stdin: "1 2 3\n4 5 6\n",
        expected: "sum 21\n",
      },
    },
    {
      name: "Files in, files out",
      values: {
        code: `import csv

with open("prices.csv", newline="") as source:
    rows = list(csv.DictReader(source))
with open("total.txt", "w") as target:
    total = sum(float(row["price"]) for row in rows)
    print(f"{len(rows)} rows, {total:.2f} in all", file=target)
print("written")
`,
        files: '[["prices.csv", "name,price\\nfig,1.20\\nplum,0.85\\n"]]',
        fetch: "*.txt",
      },
    },
    {
      name: "Exits with 3",
      values: { code: `import sys\n\nprint("about to fail", file=sys.stderr)\nsys.exit(3)\n` },
    },
  ],
  verify: [
    {
      name: "An output, predicted right",
      values: {
        code: SUM,
        kind: "output",
        input: '{"numbers": [3, 4, 5]}',
        answer: 'The sum is 12, so the mean is 4.\n\n```json\n{"output": {"total": 12, "mean": 4.0}}\n```',
      },
    },
    {
      name: "An output, predicted wrong",
      values: {
        code: SUM,
        kind: "output",
        input: '{"numbers": [3, 4, 5]}',
        output: '{"total": 12, "mean": 4.0}',
        answer: 'I get {"output": {"total": 12, "mean": 3}}.',
      },
    },
    {
      name: "An input that gives the output",
      values: {
        code: SUM,
        kind: "input",
        output: '{"total": 10, "mean": 5.0}',
        answer_form: "prediction",
        answer: '{"numbers": [1, 9]}',
      },
    },
  ],
  session: [
    { name: "A variable that stays", values: { code: "rows = [n * n for n in range(6)]\nrows" } },
    { name: "What the cell before left", values: { code: "total = sum(rows)\nprint('so far', total)\ntotal / len(rows)" } },
    {
      name: "A figure",
      values: {
        code: `import matplotlib.pyplot as plt

plt.plot([n * n for n in range(10)])
plt.title("squares")
`,
      },
    },
  ],
};
