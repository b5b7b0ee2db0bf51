"""Other projects' contracts on real containers: a table of contract by case. What they answer
where there is no room or no engine is in ``tests/api/compat``."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.harness import Answer
from tests.live_service import LiveService, live_service

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def compat_service(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """As it comes, but for two slots."""
    with live_service({"slot_count": "2"}) as running:
        yield running


def posted(service: LiveService, path: str, body: dict[str, Any], *, headers: str = "") -> Answer:
    """The answer to a document."""
    return service.post(json.dumps(body).encode(), path=path, headers=headers)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def fusion(service: LiveService, code: str, **fields: Any) -> dict[str, Any]:
    """What verl would read, which sends both timeouts and 1024 MB unless ``fields`` say else, and
    sends again what is 504: on a machine where others take all cores there is no verdict."""
    body = {"code": code, "compile_timeout": 5, "run_timeout": 5, "memory_limit_MB": 1024} | fields
    for _attempt in range(3):
        answer = posted(service, "/run_code", body)
        if answer.status != 504:
            break
    assert answer.status == 200, answer.body
    told: dict[str, Any] = answer.json
    return told


OOM_SAID = "memory exceeded: it used more than 64 MiB\n"
SLEEPS = "print(1, flush=True)\nimport time\ntime.sleep(30)"
SPINS = "print(1, flush=True)\nwhile True: pass"
FUSION = {
    "success": ("print('a')", {}, ("Success", "Finished", 0, "a\n", "")),
    "stdin": ("print(input() * 2)", {"stdin": "ab"}, ("Success", "Finished", 0, "abab\n", "")),
    "runtime error": ("1 / 0", {}, ("Failed", "Finished", 1, "", "ZeroDivisionError")),
    "exit code": ("raise SystemExit(7)", {}, ("Failed", "Finished", 7, "", "")),
    "syntax error": ("def f(:", {}, ("Failed", "Finished", 1, "", "SyntaxError")),
    "sleeps": (SLEEPS, {"run_timeout": 1}, ("Failed", "TimeLimitExceeded", None, "1\n", "")),
    "spins": (SPINS, {"run_timeout": 1}, ("Failed", "TimeLimitExceeded", None, "1\n", "")),
    "memory": (
        "x = bytearray(10**9)",
        {"memory_limit_MB": 64},
        ("Failed", "Finished", 137, "", OOM_SAID),
    ),
    "signal": (
        "import os\nos.kill(os.getpid(), 11)",
        {},
        ("Failed", "Finished", 139, "", ""),
    ),
    "pytest": (
        "import numpy\ndef test_sum():\n    assert numpy.add(1, 1) == 2",
        {"language": "pytest"},
        ("Success", "Finished", 0, "1 passed", ""),
    ),
    "pytest, and a file of its name": (
        "from test_solution import two\ndef test_two():\n    assert two() == 2",
        {"language": "pytest", "files": {"test_solution.py": b64("def two(): return 2")}},
        ("Success", "Finished", 0, "1 passed", ""),
    ),
    "pytest fails": (
        "def test_sum():\n    assert 1 + 1 == 3",
        {"language": "pytest"},
        ("Failed", "Finished", 1, "1 failed", ""),
    ),
}


@pytest.mark.parametrize(("code", "fields", "expected"), FUSION.values(), ids=FUSION.keys())
def test_sandbox_fusion_case_is_told_in_its_words(
    compat_service: LiveService, code: str, fields: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """Never ``SandboxError`` for code; the run's clock starts when the code starts."""
    status, run_status, return_code, stdout, stderr = expected
    told = fusion(compat_service, code, **fields)
    result = told["run_result"]
    assert (told["status"], result["status"]) == (status, run_status)
    assert result["return_code"] == return_code
    assert stdout in result["stdout"]
    assert bool(stdout) == bool(result["stdout"])
    assert stderr in result["stderr"]
    assert told["compile_result"] is None
    if run_status == "TimeLimitExceeded":
        assert 0.9 < result["execution_time"] < 3


def test_sandbox_fusion_output_of_2_mb_is_cut_and_says_so(compat_service: LiveService) -> None:
    """At a mebibyte, which is where the contract's own server stops reading."""
    told = fusion(compat_service, "print('x' * 2_000_000)")
    assert len(told["run_result"]["stdout"]) == 2**20
    assert told["execbox"]["stdout_truncated"]
    assert "stdout was cut" in told["message"]


def test_sandbox_fusion_files_go_in_and_come_out(compat_service: LiveService) -> None:
    """By the names that were asked for; those that are not there are left out."""
    told = fusion(
        compat_service,
        "text = open('in/a.txt').read()\nopen('out[1].txt', 'w').write(text * 2)\n"
        "open('/tmp/b.txt', 'w').write('b')\nimport os\nos.symlink('/etc/passwd', 'link')",
        files={"in/a.txt": b64("ab"), "null": None},
        fetch_files=["out[1].txt", "/tmp/b.txt", "./b.txt", "missing", "link", "/etc/passwd"],
    )
    assert told["status"] == "Success", told
    assert told["files"] == {
        "out[1].txt": b64("abab"),
        "/tmp/b.txt": b64("b"),
        "./b.txt": b64("b"),
    }


def test_sandbox_fusion_more_files_than_globs_are_fetched_all_the_same(
    compat_service: LiveService,
) -> None:
    """Each by its name, and no others."""
    names = [f"f{number}" for number in range(30)]
    code = "for n in range(40): open(f'f{n}', 'w').write(str(n))"
    told = fusion(compat_service, code, fetch_files=names)
    assert told["files"] == {name: b64(name[1:]) for name in names}


def test_sandbox_fusion_jupyter_cells_share_names_and_go_on_after_an_error(
    compat_service: LiveService,
) -> None:
    """Each with what it wrote, showed and raised; files of the session come back."""
    cells = [
        "a = 'hello'",
        "a",
        "import sys\nprint(a, file=sys.stderr)",
        "assert False, 'no'",
        "print(open('x').read())",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    ]
    body = {"cells": cells, "files": {"x": b64("in")}, "fetch_files": ["x", "y"]}
    told = posted(compat_service, "/run_jupyter", body).json
    assert (told["status"], told["driver"]["status"]) == ("Success", "Finished"), told["message"]
    first, shown, wrote, raised, read, drew = told["cells"]
    assert (first["stdout"], first["display"], first["error"]) == ("", [], [])
    assert shown["display"] == [{"text/plain": "'hello'"}]
    assert wrote["stderr"] == "hello\n"
    (error,) = raised["error"]
    assert (error["ename"], error["evalue"]) == ("AssertionError", "no")
    assert error["traceback"][-1] == "AssertionError: no"
    assert read["stdout"] == "in\n"
    assert "image/png" in drew["display"][-1]
    assert told["files"] == {"x": b64("in")}


@pytest.mark.parametrize(
    ("timeouts", "status", "driver", "count"),
    [
        ({"total_timeout": 0.6}, "Failed", "TimeLimitExceeded", 2),
        ({"total_timeout": 9, "cell_timeout": 0.4}, "Success", "Finished", 3),
    ],
    ids=["of all", "of each"],
)
def test_sandbox_fusion_jupyter_cell_over_its_time_is_interrupted(
    compat_service: LiveService, timeouts: dict[str, float], status: str, driver: str, count: int
) -> None:
    """After ``total_timeout`` the rest is not run; after ``cell_timeout`` it is."""
    body = {"cells": ["a = 1", "while True: a += 1", "print(a > 1)"]} | timeouts
    told = posted(compat_service, "/run_jupyter", body).json
    assert (told["status"], told["driver"]["status"]) == (status, driver)
    assert len(told["cells"]) == count
    assert told["cells"][1]["error"][0]["ename"] == "KeyboardInterrupt"
    if count == 3:
        assert told["cells"][2]["stdout"] == "True\n"
    else:
        assert "total_timeout" in told["message"]


def test_sandbox_fusion_jupyter_interpreter_that_ends_is_failed(
    compat_service: LiveService,
) -> None:
    """The code's own doing, told with why."""
    told = posted(compat_service, "/run_jupyter", {"cells": ["import os\nos._exit(0)", "1"]}).json
    assert (told["status"], told["driver"]["return_code"]) == ("Failed", 1)
    assert len(told["cells"]) == 1
    assert "interpreter ended" in told["message"]


# open-instruct


ADD = "def add(a, b):\n    return a + b\n"
ASSERTS = ["assert add(1, 2) == 3", "assert add(1, 2) == 4", "assert add(1, 2) == 1 + 2\n"]
ENDS_BEFORE = {
    "sys.exit": "import sys\nsys.exit(0)",
    "SystemExit": "raise SystemExit",
    "os._exit": "import os\nos._exit(0)",
    "an exception": "1 / 0",
    "a signal": "import os\nos.kill(os.getpid(), 9)",
    "never": "while True: pass",
    "no source": "def f(:",
    "null bytes": "\x00",
}
REBINDS = {
    "names": "exec = compile = print = lambda *a, **k: None",
    "builtins": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: None",
    "AssertionError": "import builtins\nAssertionError = builtins.AssertionError = Exception()",
    "the clock": "import time\ntime.perf_counter = lambda: 'x'",
    "arguments of the caller": "import sys\nf = sys._getframe(1)\n"
    "next(iter(v for v in f.f_globals.values() if hasattr(v, '__kwdefaults__') and "
    "v.__kwdefaults__)).__kwdefaults__.update(run=print)",
}


def asserted(service: LiveService, program: str, tests: Any = ASSERTS, **fields: Any) -> Any:
    """The results of the asserts."""
    body = {"program": program, "tests": tests, "max_execution_time": 0.7} | fields
    answer = posted(service, "/test_program", body)
    assert answer.status == 200, answer.body
    assert [runtime >= 0 for runtime in answer.json["runtimes"]] == answer.json["results"]
    return answer.json["results"]


@pytest.mark.parametrize("before", ENDS_BEFORE.values(), ids=ENDS_BEFORE.keys())
def test_open_instruct_program_that_ends_before_its_assert_passes_nothing(
    compat_service: LiveService, before: str
) -> None:
    """However well it ends."""
    assert asserted(compat_service, ADD + before, ASSERTS[:1]) == [0]


@pytest.mark.parametrize("program", REBINDS.values(), ids=REBINDS.keys())
def test_open_instruct_assert_is_run_with_nothing_that_the_program_rebinds(
    compat_service: LiveService, program: str
) -> None:
    """What holds holds, and what does not does not."""
    assert asserted(compat_service, ADD + program) == [1, 0, 1]


def test_open_instruct_program_is_a_module_that_its_classes_belong_to(
    compat_service: LiveService,
) -> None:
    """Futures, dataclasses and pickling work; its main block does not run; what one assert does,
    the next does not see."""
    program = (
        "from __future__ import annotations\nimport dataclasses, pickle\nimport numpy as np\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int = 1\n"
        "if __name__ == '__main__':\n    Point = None\nseen = []\n"
    )
    tests = [
        "assert pickle.loads(pickle.dumps(Point(2))) == Point(2)",
        "seen.append(1)\nassert np.sum(seen) == 1",
        "seen.append(1)\nassert len(seen) == 1",
    ]
    assert asserted(compat_service, program, tests, max_execution_time=3) == [1, 1, 1]


def test_open_instruct_stdio_is_compared_line_by_line_or_as_numbers(
    compat_service: LiveService,
) -> None:
    """White space around lines is nothing; an exit code is."""
    program = (
        "import sys\nn = input()\nif n == 'exit': sys.exit(3)\nif n == 'loop':\n"
        "    while True: pass\nprint(int(n) * 2)\nprint('end ')"
    )
    expected = {"1": "2\nend", "2": " 4.0 \nend\n\n", "3": "6\nEnd", "4": "8"}
    expected |= {"x": "", "exit": "", "loop": ""}
    tests = [{"input": given, "output": output} for given, output in expected.items()]
    body = {"program": program, "tests": json.dumps(tests), "max_execution_time": 0.7}
    told = posted(compat_service, "/test_program_stdio", body).json
    assert told["results"] == [1, 1, 0, 0, 0, 0, 0]
    assert [runtime > 0 for runtime in told["runtimes"]] == [True] * 4 + [False] * 3


NAMED = {
    "a queue": "q = deque([1])\nq.append(int(input()))\nprint(sum(q))",
    "types": "def f(a: List[int], b: Optional[Dict] = None) -> int: return a[0]\n"
    "print(f([int(input())]) + 1)",
    "mathematics": "print(gcd(int(input()), 3) + math.gcd(2, 4))",
    "stdin": "print(int(sys.stdin.readline()) + 1)",
    "a heap": "h = []\nheappush(h, int(input()))\nprint(heapq.heappop(h) + 1)",
    "what names collide with": "print(pow(2, 5, 31) * int(input()) // 2 + compile('2', '', 'eval')"
    ".co_argcount + datetime.datetime(2, 1, 1).year)",
    "a cache": "@lru_cache(None)\ndef f(n): return n and f(n - 1) + 1\nprint(f(int(input()) + 1))",
    "recursion": "def f(n): return n and f(n - 1) + 1\nprint(f(20_000) - 19_999 + int(input()))",
    "futures": "'Doc.'\nfrom __future__ import annotations\nimport dataclasses\n"
    "@dataclasses.dataclass\nclass P:\n    x: int\nprint(P(int(input())).x + 1)",
    "main": "if __name__ == '__main__':\n    print(int(input()) + 1)",
    "numpy": "import numpy as np\nprint(np.add(int(input()), 1))",
}


@pytest.mark.parametrize("program", NAMED.values(), ids=NAMED.keys())
def test_open_instruct_program_has_the_names_that_it_has_there(
    compat_service: LiveService, program: str
) -> None:
    """Without an import of its own; only where it reads and prints."""
    tests = [{"input": "2", "output": "3"}]
    body = {"program": program, "tests": tests, "max_execution_time": 0.7}
    assert posted(compat_service, "/test_program_stdio", body).json["results"] == [1]


def test_open_instruct_assert_has_the_names_of_its_program_only(
    compat_service: LiveService,
) -> None:
    """As there."""
    assert asserted(compat_service, "", ["assert deque([1])", "assert sys"]) == [0, 0]


# NeMo-Skills


def nemo(service: LiveService, code: str, *, session: str | None = None, **fields: Any) -> Any:
    """What its client would read."""
    body = {"generated_code": code, "timeout": 5.0, "std_input": ""} | fields
    headers = "" if session is None else f"X-Session-ID: {session}\r\n"
    answer = posted(service, "/execute", body, headers=headers)
    assert answer.status == 200, answer.body
    return answer.json


def test_nemo_skills_session_keeps_names_until_it_is_deleted(compat_service: LiveService) -> None:
    """Named by its client, begun where there is none, and each client is told."""
    first = nemo(compat_service, "a = 20\nprint('out')", session="mine")
    assert first == {
        "process_status": "completed",
        "stdout": "out\n",
        "stderr": "",
        "new_session_created": True,
        "error": None,
    }
    second = nemo(compat_service, "a + 1", session="mine")
    assert (second["stdout"], second["new_session_created"]) == ("21\n", False)
    other = nemo(compat_service, "a", session="other")
    assert (other["process_status"], other["new_session_created"]) == ("error", True)
    assert other["stdout"].endswith("NameError: name 'a' is not defined\n")
    listed = compat_service.get("/sessions").json
    assert listed["backend"] == "ipython"
    mine = listed["sessions"]["mine"]
    assert (mine["backend"], mine["alive"]) == ("ipython", True)
    assert mine["created"] < mine["last_used"] <= listed["sessions"]["other"]["created"]
    for name in ("mine", "other"):
        head = f"DELETE /sessions/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert compat_service.exchange(head.encode()).status == 200
        assert compat_service.exchange(head.encode()).status == 404
    assert not {"mine", "other"} & compat_service.get("/sessions").json["sessions"].keys()
    again = nemo(compat_service, "a", session="mine")
    assert (again["process_status"], again["new_session_created"]) == ("error", True)


def test_nemo_skills_cell_over_its_time_leaves_the_session(compat_service: LiveService) -> None:
    """What it wrote is there, and what the session had."""
    nemo(compat_service, "a = 3", session="slow")
    told = nemo(compat_service, "print(1)\nwhile True: pass", session="slow", timeout=0.5)
    assert told["process_status"] == "timeout"
    assert told["stdout"] == "1\n"
    assert told["stderr"] == "Execution timed out after 0.5 seconds\n"
    assert not told["new_session_created"]
    assert nemo(compat_service, "a", session="slow")["stdout"] == "3\n"


def test_nemo_skills_cell_that_ends_its_session_says_so(compat_service: LiveService) -> None:
    """The client then runs its earlier cells again; so it does after the next one."""
    nemo(compat_service, "a = 3", session="ends")
    told = nemo(compat_service, "import os\nos._exit(0)", session="ends")
    assert (told["process_status"], told["new_session_created"]) == ("error", True)
    assert "the session ended" in told["stderr"]
    assert nemo(compat_service, "1", session="ends")["new_session_created"]


@pytest.mark.parametrize(
    ("verbosity", "stdout"),
    [("Minimal", "ZeroDivisionError: division by zero\n"), ("Plain", "Traceback (most recent")],
)
def test_nemo_skills_traceback_is_on_stdout_as_ipython_has_it(
    compat_service: LiveService, verbosity: str, stdout: str
) -> None:
    """As long as was asked for."""
    told = nemo(compat_service, "1 / 0", session="raises", traceback_verbosity=verbosity)
    assert told["process_status"] == "error"
    assert told["stdout"].startswith(stdout)


NEMO = {
    "success": ("print(input())", {"std_input": "in"}, ("completed", "in\n", "")),
    "runtime error": ("1 / 0", {}, ("completed", "", "ZeroDivisionError")),
    "syntax error": ("def f(:", {}, ("completed", "", "SyntaxError")),
    "sleeps": ("import time\ntime.sleep(9)", {"timeout": 0.5}, ("timeout", "", "after 0.5 sec")),
    "memory": ("x = bytearray(10**9)", {}, ("error", "", "memory exceeded")),
    "2 MB": ("print('x' * 2_000_000)", {}, ("completed", "x" * 1000 + "<output cut>", "")),
}


@pytest.mark.parametrize(("code", "fields", "expected"), NEMO.values(), ids=NEMO.keys())
def test_nemo_skills_program_is_told_in_its_words(
    compat_service: LiveService, code: str, fields: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """``completed`` is what ended by itself, with whatever exit code."""
    status, stdout, stderr = expected
    told = nemo(compat_service, code, language="python", **fields)
    assert (told["process_status"], told["stdout"]) == (status, stdout)
    assert stderr in told["stderr"]


# code-judge


JUDGED = {
    "right": ({"expected_output": " 4\n\n"}, (True, True, "")),
    "wrong": ({"expected_output": "5"}, (False, True, "")),
    "nothing expected": ({}, (True, True, "")),
    "runtime error": ({"solution": "1 / 0", "expected_output": ""}, (False, False, "")),
    "syntax error": ({"solution": "def f(:"}, (False, False, "")),
    "null bytes": ({"solution": "\x00"}, (False, False, "")),
    "memory": ({"solution": "x = bytearray(10**9)"}, (False, False, "")),
    "a language it does not have": ({"type": "math"}, (False, False, "invalid_input")),
    "2 MB": (
        {"solution": "print('x' * 2_000_000)", "expected_output": "x" * 2_000_000},
        (False, False, "invalid_input"),
    ),
    "cut": (
        {"solution": "print('x' * 2_000_000)", "expected_output": "x" * 100},
        (False, True, ""),
    ),
}


def test_code_judge_batch_has_a_result_for_each_in_their_order(
    compat_service: LiveService,
) -> None:
    """With the reason where there is no result of the code's."""
    double = {"type": "python", "solution": "print(int(input()) * 2)", "input": "2"}
    submissions = [double | {"sub_id": name} | fields for name, (fields, _) in JUDGED.items()]
    body = {"type": "batch", "sub_id": "all", "submissions": submissions}
    told = posted(compat_service, "/run/long-batch", body).json
    assert told["sub_id"] == "all"
    assert [each["sub_id"] for each in told["results"]] == list(JUDGED)
    found = {
        each["sub_id"]: (each["success"], each["run_success"], each["reason"])
        for each in told["results"]
    }
    assert found == {name: expected for name, (_, expected) in JUDGED.items()}
    judged = posted(compat_service, "/judge/long-batch", body).json["results"]
    assert [each["success"] for each in judged] == [each["success"] for each in told["results"]]
    assert "stdout" not in judged[0]


def test_code_judge_single_program_is_run_and_judged(compat_service: LiveService) -> None:
    """What it wrote comes with ``/run``; one that never ends is ``worker_timeout``."""
    body = {"type": "python", "solution": "import sys\nprint(1)\nprint(2, file=sys.stderr)"}
    ran = posted(compat_service, "/run", body).json
    assert ran.pop("cost") > 0
    assert ran.pop("sub_id")
    expected = {"success": True, "run_success": True, "reason": ""}
    assert ran == expected | {"stdout": "1\n", "stderr": "2\n"}
    judged = posted(compat_service, "/judge", body | {"sub_id": "x"}).json
    assert judged.pop("cost") > 0
    assert judged == expected | {"sub_id": "x"}
    status = compat_service.get("/status").json
    assert status == {"queue": 0, "num_workers": 2}
    assert compat_service.get("/ping").json == "pong"
