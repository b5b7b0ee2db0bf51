"""A supervisor that lies to the service, behind real HTTP (F27): an edited runner in its place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.harness import Answer, assert_error, wait_until
from tests.live_service import LiveService, live_service, settings_of_attacks
from tests.weakened import edited_runner

pytestmark = pytest.mark.docker

WRITES = "    while data:\n        data = data[os.write(fd, data) :]\n"
# Honest until a function prints which lie it wants: the self-test and every canary see no lies.
LIES = """
    shown = bytes(parts[1][:40]) if len(parts) >= 3 else b""
    if shown.startswith(b"LIE "):
        honest, lie = bytes(data), shown.split()[1].decode()
        other = dict(header, seq=header["seq"] + 1000)
        other_text = json.dumps(other).encode()
        other_total = _AFTER_LENGTH_BYTES + len(other_text) + sum(map(len, parts))
        prefix_bytes = _PREFIX.size
        data = memoryview({
            "oversized": _PREFIX.pack(2**31, kind, 100) + b"x" * 100000,
            "unknown_kind": _PREFIX.pack(total, 99, len(text)) + honest[prefix_bytes:],
            "other_id": b"".join((_PREFIX.pack(other_total, kind, len(other_text)), other_text, *parts)),
            "half": honest[:len(honest) // 2],
            "twice": honest + honest,
            "invalid_utf8": _PREFIX.pack(total, kind, len(text)) + b"\\xff" * (len(honest) - prefix_bytes),
            "garbage": b"\\xff" * 64,
            "heartbeats": honest,
        }[lie])
        while lie == "heartbeats":
            os.write(fd, _PREFIX.pack(_AFTER_LENGTH_BYTES + 2, 16, 2) + b"{}")
        while data:
            data = data[os.write(fd, data) :]
        if lie == "half":
            os._exit(0)
        return
"""  # noqa: E501 - code of a runner
KINDS = ["oversized", "unknown_kind", "other_id", "half", "invalid_utf8", "heartbeats"]
HONEST = "def main_solution(x): return x"
_SENT_AGAIN_MAX = 20


@pytest.fixture(scope="module")
def lied_to(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """Has met a lie before, so that everything it opens once is open."""
    with (
        edited_runner({"protocol.py": ((WRITES, LIES + WRITES),)}) as runner,
        live_service(settings_of_attacks(), runner=runner) as it,
    ):
        # One for each thread that speaks to the daemon: each keeps its connection.
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda _: lie(it, "garbage"), range(16)))
        wait_until(lambda: honest(it, 1).status == 200, timeout_s=30)
        before_count = it.descriptor_count()
        yield it
        wait_until(lambda: it.descriptor_count() <= before_count + 8, timeout_s=30)


def lie(service: LiveService, kind: str) -> Answer:
    code = f"def main_solution():\n    print('LIE {kind}')\n    return 1"
    return service.execute(code, isolation="process")


def honest(service: LiveService, number: int) -> Answer:
    """Sent again for a while, as clients do: lies cost containers, which are made anew."""
    for _ in range(_SENT_AGAIN_MAX):
        answer = service.execute(HONEST, isolation="process", calls=[{"args": [number]}])
        if answer.status != 503:
            return answer
        time.sleep(1.0)
    return service.execute(HONEST, isolation="process", calls=[{"args": [number]}])


def test_runners_that_lie_are_destroyed_and_their_requests_are_503(lied_to: LiveService) -> None:
    """F27: no verdict out of a lie, and requests beside and after them are unharmed."""
    wait_until(lambda: bool(lied_to.containers()), timeout_s=30)
    before = lied_to.containers()
    with ThreadPoolExecutor(len(KINDS) + 3) as threads:
        lies = [threads.submit(lie, lied_to, kind) for kind in KINDS]
        others = [threads.submit(honest, lied_to, number) for number in range(3)]
    for kind, future in zip(KINDS, lies, strict=True):
        answer = future.result()
        assert_error(answer, 503)
        assert answer.code in {"sandbox_lost", "engine_unavailable"}, kind
    for number, future in enumerate(others):
        assert [each["output"] for each in future.result().json["executions"]] == [number]
    assert lied_to.canary_is_ok()
    wait_until(lambda: not before & lied_to.containers(), timeout_s=30)


def test_runner_that_answers_twice_gives_no_other_call_that_answer(lied_to: LiveService) -> None:
    """F27: the second answer is nobody's: the job it belonged to is over, or is told that a
    container was lost."""
    twice = "def main_solution(x):\n    print('LIE twice')\n    return x"
    answer = lied_to.execute(twice, isolation="process", calls=[{"args": [n]} for n in range(4)])
    if answer.status == 200:
        assert [each["output"] for each in answer.json["executions"]] == [0, 1, 2, 3]
    else:
        assert_error(answer, 503)
    for number in range(10, 14):
        answer = honest(lied_to, number)
        assert [each["output"] for each in answer.json["executions"]] == [number]
