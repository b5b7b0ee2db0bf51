"""A program: a service on loopback that doubles what it is given, in a process of its own.

It prints its port, and ends when its standard input does. ``GET /connections`` says how many
connections are open besides the one that asks.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REST = {"isolation": "process", "engine": "echo", "image": "i", "queue_time_s": 0}


class Handler(BaseHTTPRequestHandler):
    """Answers after a moment, so that the answers of two requests can overtake each other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    open_count = 0
    lock = threading.Lock()

    def handle(self) -> None:
        with Handler.lock:
            Handler.open_count += 1
        try:
            super().handle()
        finally:
            with Handler.lock:
                Handler.open_count -= 1

    def do_GET(self) -> None:
        self.answer(json.dumps({"open": Handler.open_count - 1}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(random.random() * 0.004)
        if self.path == "/v1/execute":
            self.answer(json.dumps(executed(json.loads(body))).encode())
        elif self.path == "/v1/batch":
            lines = [json.loads(line) for line in body.splitlines()]
            answers = [{"id": line["id"], "op": "execute", **executed(line)} for line in lines]
            self.answer(b"".join(json.dumps(answer).encode() + b"\n" for answer in answers))
        else:
            text = json.loads(body)["messages"][-1]["content"]
            choice = {"message": {"content": text * 2}, "finish_reason": "stop"}
            self.answer(json.dumps({"model": "echo", "choices": [choice]}).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        pass


def executed(request: dict[str, list[dict[str, dict[str, int]]]]) -> dict[str, object]:
    """Twice the ``n`` of every call."""
    outputs = [call["kwargs"]["n"] * 2 for call in request["calls"]]
    return {"executions": [{"status": "ok", "output": output} for output in outputs], **REST}


class Server(ThreadingHTTPServer):
    """Whoever goes away in the middle of an answer is no event here."""

    request_queue_size = 100

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def main() -> None:
    """Serve until standard input ends."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
