"""A verdict changes only by really computing the value: through the real runtime, by any forgery.

What a job writes is believed in form only, so it can claim any value that it could have returned.
What it cannot do is know the value it is held against, speak after it has failed, or be believed
about what it used.
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from harness.attacks.forgery import ATTACKS
from harness.bench import Bench

from execbox.wire import Execution, Status, Verdict, VerifiedItem, VerifyRequest
from execbox_service.operations.registry import VERIFY
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

QUICK = {"cpu_time_s": 0.3, "wall_time_s": 0.5}


async def verified(bench: Bench, *items: dict[str, Any]) -> list[VerifiedItem]:
    """Verify items at level ``process``; fields not given have their usual values."""
    body = {"items": [{"id": str(at)} | item for at, item in enumerate(items)]}
    request = VerifyRequest.model_validate(body | {"isolation": "process"})
    return list((await bench.runtime.perform(VERIFY, request, caller=Caller("integrity"))).items)


def held_against(code: str, expected: Any, *arguments: Any, **limits: float) -> dict[str, Any]:
    """An input prediction: the function is run on it, and its output is compared."""
    value = arguments[0] if arguments else {}
    return {
        "function": {"code": code},
        "kind": "input",
        "prediction": value,
        "output": expected,
        "limits": limits or QUICK,
    }


# Whatever our forgery attacks claim, they never claim it well enough.


async def test_no_forgery_earns_the_value_it_forges(bench: Bench) -> None:
    """Frames, exits, patched runners, lying objects: none is ``correct`` for what it pretends."""
    items = [held_against(attack.code, forged) for attack in ATTACKS for forged in (666, 42, True)]
    ended = await verified(bench, *items)
    assert len(ended) == 3 * len(ATTACKS)
    believed = [
        ATTACKS[at // 3].name
        for at, item in enumerate(ended)
        if item.verdict in (None, Verdict.CORRECT)
    ]
    assert believed == []


EARLY = {
    "printed, then gone": "import os\ndef main_solution(x):\n    print(7, flush=True); os._exit(0)",
    "printed, then SystemExit": "def main_solution(x):\n    print(7); raise SystemExit(0)",
    "printed, then killed": "import os\ndef main_solution(x):\n"
    "    print(7); os.kill(os.getpid(), 9)",
    "on every descriptor": "import os\ndef main_solution(x):\n    for fd in range(256):\n"
    "        try: os.write(fd, b'7')\n        except OSError: pass\n    os._exit(0)",
    "the result pipe closed": "import os\ndef main_solution(x):\n    os.close(3); print(7)\n"
    "    return 6",
    "the result pipe is stdout": "import os\ndef main_solution(x):\n    os.dup2(1, 3); return 7",
    "a thread that answers first": "import os, threading\ndef main_solution(x):\n"
    "    t = threading.Thread(target=os.write, args=(3, b'7')); t.start(); t.join(); return 7",
}


@pytest.mark.parametrize("how", EARLY)
async def test_answer_given_in_another_way_is_no_result(bench: Bench, how: str) -> None:
    """An answer counts only as one whole frame of a process that ended well."""
    (item,) = await verified(bench, held_against(EARLY[how], 7, 3))
    assert item.verdict in (Verdict("no_result"), Verdict("exception"))


# What an object says of itself is not what it is: (program, the value it holds).

LIES: dict[str, tuple[str, Any]] = {
    "an int that is equal to all": (
        ("class L(int):\n    __eq__ = lambda s, o: True\n    __hash__ = lambda s: 7\n"
        "V = L(6)"), 6),
    "an int that shows another": (
        ("class L(int):\n    __repr__ = __str__ = lambda s: '7'\n"
        "    __int__ = __index__ = __float__ = __trunc__ = lambda s: 7\nV = L(6)"), 6),
    "an int of another class": (
        "class L(int):\n    __class__ = property(lambda s: str)\nV = L(6)", 6),
    "a str that shows another": (
        ("class L(str):\n    __str__ = __repr__ = __format__ = lambda s, *a: 'seven'\n"
        "    __iter__ = lambda s: iter('seven')\n    encode = lambda s, *a: b'seven'\n"
        "V = L('six')"), "six"),
    "a float that shows another": (
        "class L(float):\n    __float__ = __repr__ = lambda s: 7.5\nV = L(6.5)", 6.5),
    "a dict with other items": (
        ("class L(dict):\n    items = lambda s: [('a', 7)]\n"
        "    keys = __iter__ = lambda s: iter('a')\n"
        "    __getitem__ = get = lambda s, k: 7\n    __len__ = lambda s: 1\nV = L(a=6)"), {"a": 6}),
    "a list with other members": (
        ("class L(list):\n    __iter__ = lambda s: iter([7])\n    __getitem__ = lambda s, i: 7\n"
        "    __len__ = lambda s: 1\n    copy = lambda s: [7]\nV = L([6, 6])"), [6, 6]),
    "a tuple with other members": (
        ("class L(tuple):\n    __iter__ = lambda s: iter([7])\n    __len__ = lambda s: 1\n"
        "V = L((6, 6))"), [6, 6]),
    "keys that change their minds": (
        ("class K(str):\n    __hash__ = lambda s: 0\n    __eq__ = lambda s, o: True\n"
        "V = {'a': 6, K('b'): 7}"), {"a": 6, "b": 7}),
    "types that are equal to all": (
        ("class M(type):\n    __hash__ = lambda c: hash(int)\n    __eq__ = lambda c, o: True\n"
        "class L(int, metaclass=M):\n    __lt__ = __gt__ = lambda s, o: False\nV = [L(6), L(6)]"),
        [6, 6]),
}  # fmt: skip


@pytest.mark.parametrize("what", LIES)
async def test_object_that_lies_is_what_it_holds(bench: Bench, what: str) -> None:
    """Overridden methods are not asked: the output is the held value, and so is the verdict."""
    program, value = LIES[what]
    code = f"{program}\ndef main_solution(x): return V"
    execution = await bench.call(code, 1, isolation="process")
    assert (execution.status, execution.output) == (Status.OK, value)
    right, wrong = await verified(
        bench, held_against(code, value, 1), held_against(code, "seven", 1)
    )
    assert (right.verdict, wrong.verdict) == (Verdict.CORRECT, Verdict.INCORRECT)


PATCHES = """
import builtins, json, json.encoder, sys
def main_solution(x):
    json.dumps = json.JSONEncoder.encode = json.encoder.encode_basestring = lambda *a, **k: "7"
    json.encoder.c_make_encoder = json.encoder.c_make_encoder and (lambda *a: lambda *b: ("7",))
    for name in ("len", "type", "isinstance", "issubclass", "str", "int", "repr", "sorted", "map"):
        setattr(builtins, name, lambda *a, **k: 7)
    sys.modules["json"] = sys.modules["json.encoder"] = None
    return 6
"""


async def test_library_patched_by_a_job_encodes_nothing(bench: Bench) -> None:
    """What the runner encodes with was bound before user code ran."""
    right, wrong = await verified(bench, held_against(PATCHES, 6, 1), held_against(PATCHES, 7, 1))
    assert (right.verdict, wrong.verdict) == (Verdict.CORRECT, Verdict.INCORRECT)


# The value it is held against is nowhere near it.

SEARCH = """
import ctypes, gc, os, re, sys
# Not written out, so that this source is not what is found.
MARK = bytes(b ^ 0x5A for b in b"\\x09\\x1f\\x19\\x08\\x1f\\x0e\\x77")
WHOLE = re.compile(re.escape(MARK) + b"[0-9a-f]{32}")
def in_memory():
    with open("/proc/self/maps") as file: lines = file.read().splitlines()
    for line in lines:
        span, permissions = line.split()[:2]
        low, high = (int(part, 16) for part in span.split("-"))
        if permissions[0] == "r" and "[v" not in line:
            for at in range(low, high, 2**20):
                yield ctypes.string_at(at, min(2**20 + 64, high - at))
def in_objects():
    frame = sys._getframe()
    while frame:
        yield repr((frame.f_locals, list(frame.f_globals))).encode("utf-8", "replace")
        frame = frame.f_back
    for each in gc.get_objects():
        for held in gc.get_referents(each):
            if type(held) in (str, bytes): yield held.encode("utf-8", "replace") if type(held) is str else held
def in_files():
    for path in ("/proc/self/environ", "/proc/self/cmdline", "/proc/1/cmdline", "/proc/1/environ"):
        try: yield open(path, "rb").read()
        except OSError: pass
    for fd in range(256):
        try: yield os.pread(fd, 65536, 0)
        except OSError: pass
def main_solution(x):
    for where in (in_objects, in_files, in_memory):
        for text in where():
            hit = WHOLE.search(text)
            if hit: return hit.group().decode()
    return "nothing"
"""  # noqa: E501 - a program as it is
SEARCH_LIMITS = {"cpu_time_s": 20, "wall_time_s": 30}


async def test_expected_output_cannot_be_found_from_inside(bench: Bench) -> None:
    """Neither an expected output nor a prediction is in the job's memory, objects or files."""
    secret = f"SECRET-{secrets.token_hex(16)}"
    told, expected, predicted = await verified(
        bench,
        held_against(SEARCH, secret, [secret], **SEARCH_LIMITS),
        held_against(SEARCH, secret, [1], **SEARCH_LIMITS),
        {
            "function": {"code": SEARCH},
            "kind": "output",
            "input": [1],
            "prediction": secret,
            "limits": SEARCH_LIMITS,
        },
    )
    # The control: where it is an argument, the search finds it.
    assert (told.verdict, told.executed_output) == (Verdict.CORRECT, secret)
    assert (expected.verdict, expected.executed_output) == (Verdict.INCORRECT, "nothing")
    assert (predicted.verdict, predicted.executed_output) == (Verdict.INCORRECT, "nothing")


async def test_output_prediction_with_a_known_output_runs_nothing(bench: Bench) -> None:
    """There is no program that could have a say."""
    item = {"function": {"code": "1 / 0"}, "kind": "output", "input": [1], "output": 7}
    right, wrong = await verified(bench, item | {"prediction": 7}, item | {"prediction": 6})
    assert (right.verdict, wrong.verdict) == (Verdict.CORRECT, Verdict.INCORRECT)
    assert right.execution is wrong.execution is None


# What it used, whether it repeats itself, how large it is: measured, not asked.

SPENDER = """
import os, resource, time
def main_solution(seconds, megabytes):
    real = time.process_time
    began = real()
    held = bytearray(megabytes * 2**20)
    for at in range(0, len(held), 4096): held[at] = 1
    while real() - began < seconds: pass
    resource.getrusage = time.process_time = time.perf_counter = lambda *a: 0
    os.times = lambda: (0,) * 5
    return 1
"""


async def test_usage_is_what_was_used(bench: Bench) -> None:
    """Times and memory are the kernel's, whatever a job has done to its own clocks."""
    ended = await bench.call(SPENDER, 0.3, 100, isolation="process")
    assert ended.usage is not None
    assert ended.usage.cpu_time_s >= 0.3
    assert ended.usage.peak_memory_bytes >= 100 * 2**20


def detecting(baseline: str, varied: str) -> str:
    """A function that behaves differently where it takes itself for a variation."""
    return f"""
import os, random, sys, time
def varied():
    return any((
        os.environ.get("PYTHONHASHSEED") != "0", hash("a") != BASE_HASH, os.getcwd() != "/tmp",
        os.environ.get("TZ") != "UTC", "LD_PRELOAD" in os.environ,
        os.uname().nodename == "elsewhere",
    ))
BASE_HASH = hash("a") if os.environ.get("PYTHONHASHSEED") == "0" else 0
def main_solution(x):
    if varied(): return {varied}
    return {baseline}
"""


@pytest.mark.parametrize(
    ("baseline", "varied", "deterministic"),
    [
        ("random.random()", "0", False),
        ("time.time_ns()", "0", False),
        ("os.getpid() + id([])", "1", False),
        # It gives one value in every run here, and that is all a certificate says.
        ("0", "0", True),
    ],
)
async def test_function_that_knows_a_variation_must_still_repeat_the_baseline(
    bench: Bench, baseline: str, varied: str, deterministic: bool
) -> None:
    """Recognising the check helps only who already gives the baseline's value."""
    ended: Execution = await bench.call(
        detecting(baseline, varied), 1, checks={"determinism": {"runs": 2}}, isolation="process"
    )
    assert ended.determinism is not None
    assert ended.determinism.deterministic is deterministic


LARGE = """
import sys
try:
    import pympler.asizeof
    pympler.asizeof.asizeof = lambda *a, **k: 1
    sys.modules["pympler.asizeof"].asizeof = lambda *a, **k: 1
except ImportError: pass
class L(list):
    __len__ = lambda s: 1
    __sizeof__ = lambda s: 1
    __iter__ = lambda s: iter([1])
def main_solution(x): return L(range(50))
"""


async def test_size_is_checked_again_on_what_arrived(bench: Bench) -> None:
    """A list that says it is short, measured by a measure that says it is small, is neither."""
    ended = await bench.call(LARGE, 1, checks={"complexity": "codeio"}, isolation="process")
    assert (ended.status, ended.output) == (Status.OK, list(range(50)))
    assert ended.complexity is not None
    assert not ended.complexity.ok
    assert "container_items" in {violation.rule for violation in ended.complexity.violations}
