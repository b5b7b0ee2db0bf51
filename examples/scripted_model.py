"""An OpenAI-compatible endpoint that answers ``questions.jsonl`` from a script, for trying things.

``python examples/scripted_model.py COMMAND...`` runs a command that finds the endpoint at
``EXECBOX_MODEL_URL``, and ends with it. No model is asked: what it says is written here, mistakes
included, so that every way a question can end is seen. Standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

_QUESTIONS: Final = Path(__file__).with_name("questions.jsonl")
_MODEL: Final = "scripted"
_SCRIPTS: Final[dict[str, tuple[str, ...]]] = {
    "digits": (
        "Python has large integers.\n```python\nprint(sum(map(int, str(2**1000))))\n```",
        "The output says it. <<<1366>>>",
    ),
    "primes": (
        (
            "A sieve.\n```python\nn = 10**5\nsieve = [True] * n\nfor i in range(2, n):\n"
            "    if sieve[i]:\n        sieve[2*i::i] = False\nprint(sum(sieve[2:]))\n```"
        ),
        (
            "A slice takes an iterable.\n```python\nn = 10**5\nsieve = [True] * n\n"
            "for i in range(2, n):\n    if sieve[i]:\n"
            "        sieve[2*i::i] = [False] * len(sieve[2*i::i])\nprint(sum(sieve[2:]))\n```"
        ),
        "So there are <<<9592>>> of them.",
    ),
    "change": ("Counting by hand: there are about four and a half thousand ways. <<<4500>>>",),
    "letters": ("```python\nprint(max('bookkeeper', key='bookkeeper'.count))\n```", "<<<e>>>"),
    "matrix": (
        (
            "```python\nfrom sympy import Matrix, Rational\n"
            "m = Matrix(6, 6, lambda i, j: Rational(1, i + j + 1))\nprint(m.det())\n```"
        ),
        "<<<1/186313420339200000>>>",
    ),
    "collatz": (
        "```python\nbest = 0\nwhile best < 1:\n    pass\n```",
        (
            "That never ends. With a table:\n```python\nlengths = {1: 1}\ndef length(n):\n"
            "    m, chain = n, []\n    while m not in lengths:\n        chain.append(m)\n"
            "        m = m // 2 if m % 2 == 0 else 3 * m + 1\n    base = lengths[m]\n"
            "    for i, each in enumerate(reversed(chain), 1):\n        lengths[each] = base + i\n"
            "    return lengths[n]\nprint(max(range(1, 10**5), key=length))\n```"
        ),
        "<<<77031>>>",
    ),
    "weekday": ("It was a day of the week, but I cannot say which.",),
    "oracle": tuple(f"Is it this one?\n```python\nprint({n} * 7)\n```" for n in range(6)),
}
"""What is said to each question, reply by reply."""


def replies() -> dict[str, tuple[str, ...]]:
    """The replies by question."""
    lines = _QUESTIONS.read_text("utf-8").splitlines()
    return {line["question"]: _SCRIPTS[line["id"]] for line in map(json.loads, lines)}


def reply_to(messages: list[dict[str, Any]]) -> str:
    """The next reply of a conversation; that of one that is not scripted says so."""
    said_count = sum(message["role"] == "assistant" for message in messages)
    for question, script in replies().items():
        if question in messages[0]["content"]:
            return script[min(said_count, len(script) - 1)]
    return "Nothing is scripted for this question."


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": reply_to(asked["messages"])}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        payload = json.dumps({"model": _MODEL, "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        pass


def main(command: list[str]) -> int:
    """Serve until the command has ended; its exit code."""
    if not command:
        print("usage: scripted_model.py COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        environment = {"EXECBOX_MODEL_URL": url, "EXECBOX_MODEL": _MODEL}
        try:
            return subprocess.run(command, env=os.environ | environment, check=False).returncode
        except OSError as error:
            print(f"{command[0]}: cannot be run: {error.strerror}", file=sys.stderr)
            return 2
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
