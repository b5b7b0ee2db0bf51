"""Calling a function in the three ways there are, and what a function finds around itself."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import Execution, Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

FUNCTION = """
def main_solution(a, b=2, *rest, c=3, **others):
    return [a, b, list(rest), c, others]
def other(x):
    return main_solution(x, x)
"""


async def run(bench: Bench, code: str, call: dict[str, Any], **fields: Any) -> Execution:
    """One call at the level that is quickest."""
    response = await bench.request(code, [call], isolation="process", **fields)
    (execution,) = response.executions
    return execution


@pytest.mark.parametrize(
    ("call", "output"),
    [
        ({"args": [1]}, [1, 2, [], 3, {}]),
        ({"args": [1, 5, 6, 7]}, [1, 5, [6, 7], 3, {}]),
        ({"kwargs": {"a": 1}}, [1, 2, [], 3, {}]),
        ({"kwargs": {"a": 1, "c": 4, "z": [None]}}, [1, 2, [], 4, {"z": [None]}]),
        ({"expression": "main_solution(1, c=9)"}, [1, 2, [], 9, {}]),
        ({"expression": "other(4)"}, [4, 4, [], 3, {}]),
        ({"expression": "  repr(other(4)[:2])\n"}, "[4, 4]"),
        ({"expression": "[x * x for x in range(3)]"}, [0, 1, 4]),
        ({"expression": "__name__"}, "solution"),
    ],
)
async def test_call_of_each_kind_reaches_the_function(
    bench: Bench, call: dict[str, Any], output: object
) -> None:
    """Keyword arguments, positional arguments, and expressions in the function's namespace."""
    ended = await run(bench, FUNCTION, call)
    assert (ended.status, ended.output) == (Status.OK, output)


@pytest.mark.parametrize(
    "call", [{"args": []}, {"kwargs": {"q": 1}}, {"expression": "main_solution()"}]
)
async def test_call_with_wrong_arguments_is_an_exception(
    bench: Bench, call: dict[str, Any]
) -> None:
    """Arguments that do not fit are a TypeError of the function, as in Python."""
    ended = await run(bench, FUNCTION, call)
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (Status.EXCEPTION, "TypeError")


async def test_call_of_another_entry_point_is_the_one_named(bench: Bench) -> None:
    """The entry point is whatever name the request gives."""
    ended = await run(bench, FUNCTION, {"args": [7]}, entry_point="other")
    assert ended.output == [7, 7, [], 3, {}]


LEETCODE = """
class Solution:
    def __init__(self):
        self.seen = {}
    def twoSum(self, nums: List[int], target: int) -> List[int]:
        for i, n in enumerate(nums):
            if target - n in self.seen:
                return [self.seen[target - n], i]
            self.seen[n] = i
"""


@pytest.mark.parametrize("entry_point", ["Solution.twoSum", "Solution"])
@pytest.mark.parametrize(
    "call", [{"kwargs": {"nums": [2, 7, 11], "target": 9}}, {"args": [[2, 7, 11], 9]}]
)
async def test_call_of_a_method_is_made_on_an_instance(
    bench: Bench, entry_point: str, call: dict[str, Any]
) -> None:
    """As LeetCode's data has it; every execution has an instance of its own, variations too."""
    checks = {"determinism": {"runs": 3}, "complexity": "codeio"}
    response = await bench.request(
        LEETCODE,
        [call, call],
        entry_point=entry_point,
        prelude="codeio",
        isolation="process",
        checks=checks,
    )
    for ended in response.executions:
        assert (ended.status, ended.output) == (Status.OK, [0, 1]), ended.error
        assert ended.output_flags == []
        assert ended.determinism is not None
        assert ended.determinism.deterministic


@pytest.mark.parametrize(
    ("entry_point", "output"),
    [("Tools.Text.shout", "A!"), ("Tools.plain", "a"), ("tool.shout", "A?"), ("Pair", ["a", 2])],
)
async def test_call_of_a_dotted_name_reaches_what_it_names(
    bench: Bench, entry_point: str, output: object
) -> None:
    """Nested classes, static methods, instances of the source; a class that makes a value."""
    code = (
        "import typing\n"
        "class Tools:\n"
        "    class Text:\n"
        "        def __init__(self, end='!'): self.end = end\n"
        "        def shout(self, s): return s.upper() + self.end\n"
        "    @staticmethod\n"
        "    def plain(s): return s\n"
        "tool = Tools.Text('?')\n"
        "class Pair(typing.NamedTuple):\n"
        "    s: str\n"
        "    n: int = 2\n"
    )
    ended = await run(bench, code, {"kwargs": {"s": "a"}}, entry_point=entry_point)
    assert (ended.status, ended.output) == (Status.OK, output), ended.error


async def test_call_of_a_method_that_changes_its_arguments_says_so(bench: Bench) -> None:
    """The flag is about what was given, however it is called."""
    code = "class Solution:\n    def sorted(self, x): x.sort(); return x\n"
    ended = await run(bench, code, {"args": [[2, 1]]}, entry_point="Solution")
    assert (ended.output, ended.output_flags) == ([1, 2], ["mutates_input"])


async def test_call_by_expression_needs_no_entry_point(bench: Bench) -> None:
    """What an expression calls is what it names; nothing else has to be there."""
    ended = await run(bench, "def f(): return 1", {"expression": "f()"})
    assert (ended.status, ended.output) == (Status.OK, 1)


@pytest.mark.parametrize(
    "call", [{"args": [2]}, {"kwargs": {"n": 2}}, {"expression": "\ufeffmain_solution(2)"}]
)
async def test_call_of_source_with_a_byte_order_mark_is_as_without(
    bench: Bench, call: dict[str, Any]
) -> None:
    """As ``python file.py`` runs it."""
    code = "\ufeff# -*- coding: utf-8 -*-\nimport math\ndef main_solution(n): return math.floor(n)"
    ended = await run(bench, code, call, checks={"determinism": {"runs": 2}})
    assert (ended.status, ended.output) == (Status.OK, 2)


MAIN_MODULE = """
import doctest, timeit
def helper():
    '''
    >>> helper()
    3
    '''
    return 3
if __name__ == "__main__":
    raise SystemExit
def main_solution():
    import __main__
    found = doctest.testmod()
    timed = timeit.timeit("helper()", setup="from __main__ import helper", number=3) >= 0
    return [__main__.helper(), found.attempted, found.failed, timed]
"""


async def test_call_finds_its_own_module_as_the_main_one(bench: Bench) -> None:
    """doctest and timeit look there; the main block does not run all the same."""
    ended = await run(bench, MAIN_MODULE, {"args": []})
    assert (ended.status, ended.output) == (Status.OK, [3, 1, 0, True]), ended.error


@pytest.mark.parametrize(
    ("body", "output"),
    [
        # A module of its own, which is not the main program.
        ("return [__name__, __file__]", ["solution", "solution.py"]),
        ("import solution; return solution.main_solution is main_solution", True),
        ("import inspect; return inspect.getsource(Point).count('class Point')", 1),
        ("import linecache; return linecache.getline('solution.py', 2)", "import dataclasses\n"),
        ("import pickle; return pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)", True),
        ("import copy; return dataclasses.asdict(copy.deepcopy(Point(1, 2)))", {"x": 1, "y": 2}),
        ("import typing; return sorted(typing.get_type_hints(Point))", ["x", "y"]),
        ("import enum\n    return [c.name for c in enum.Enum('C', 'R G')]", ["R", "G"]),
        # Standard input is at its end.
        ("import sys; return [sys.stdin.read(), sys.stdin.readline()]", ["", ""]),
        # A clean place to work in.
        ("import os; return [os.getcwd(), os.listdir('.')]", ["/tmp", []]),
        (
            "import os; return [os.environ[k] for k in ('TZ', 'LANG', 'HOME')]",
            ["UTC", "C.UTF-8", "/tmp"],
        ),
        ("import sys; return [sys.argv[1:], sys.flags.hash_randomization]", [[], 0]),
        ("import sys; return any('execbox' in p for p in sys.path)", False),
        (
            "import time, locale; return [time.tzname[0], locale.getpreferredencoding()]",
            ["UTC", "UTF-8"],
        ),
        ("open('a', 'w').write('é'); return open('a').read()", "é"),
        ("import tempfile; return len(tempfile.NamedTemporaryFile().name) > 5", True),
    ],
)
async def test_call_finds_the_surroundings_of_a_module(
    bench: Bench, body: str, output: object
) -> None:
    """Dataclasses, inspect, linecache, pickle, files and streams work as in any module."""
    code = (
        "# first line\nimport dataclasses\n\n@dataclasses.dataclass\nclass Point:\n"
        f"    x: int\n    y: int\n\ndef main_solution():\n    {body}\n"
    )
    ended = await run(bench, code, {"args": []})
    assert (ended.status, ended.output) == (Status.OK, output), ended.error


async def test_call_does_not_run_the_main_block(bench: Bench) -> None:
    """A script's main block is not the function's."""
    code = (
        "def main_solution(): return 1\nif __name__ == '__main__':\n    raise SystemExit('ran')\n"
    )
    ended = await run(bench, code, {"args": []})
    assert (ended.status, ended.output) == (Status.OK, 1)


@pytest.mark.parametrize(
    "code", ["input()\ndef main_solution(): pass", "def main_solution(): input()"]
)
async def test_call_that_reads_stdin_meets_its_end(bench: Bench, code: str) -> None:
    """Reading standard input raises EOFError instead of waiting."""
    ended = await run(bench, code, {"args": []})
    assert ended.error is not None
    assert (ended.status, ended.error.type) == (Status.EXCEPTION, "EOFError")


PRELUDE_USE = """
def main_solution(xs: List[int]) -> Dict[str, Any]:
    best: Optional[int] = None
    counts = Counter(xs)
    heap = list(xs); heapify(heap)
    return {
        "counts": counts.most_common(1), "min": heappop(heap), "at": bisect_left([1, 2, 3], 2),
        "sum": reduce(operator.add, xs), "inf": inf > 1, "gcd": gcd(12, 18), "sqrt": sqrt(9),
        "pairs": list(combinations([1, 2, 3], 2)), "text": string.ascii_lowercase[:3],
        "found": re.findall("a", "banana"), "date": str(datetime.date(2020, 1, 2)),
        "json": json.dumps([1]), "copied": deepcopy([xs]), "floor": math.floor(1.5),
        "cached": lru_cache(None)(lambda: 5)(), "queue": list(deque([1, 2])), "best": best,
    }
"""


async def test_prelude_codeio_binds_the_names_that_are_taken_for_granted(bench: Bench) -> None:
    """LeetCode-style code runs under the prelude as it stands, and without it does not."""
    ended = await run(bench, PRELUDE_USE, {"args": [[3, 1, 3]]}, prelude="codeio")
    assert ended.status is Status.OK, ended.error
    assert ended.output == {
        "counts": [[3, 2]], "min": 1, "at": 1, "sum": 7, "inf": True, "gcd": 6, "sqrt": 3.0,
        "pairs": [[1, 2], [1, 3], [2, 3]], "text": "abc", "found": ["a", "a", "a"],
        "date": "2020-01-02", "json": "[1]", "copied": [[3, 1, 3]], "floor": 1, "cached": 5,
        "queue": [1, 2], "best": None,
    }  # fmt: skip
    without = await run(bench, PRELUDE_USE, {"args": [[3, 1, 3]]})
    assert without.error is not None
    assert without.error.type == "NameError"


CODEIO_NAMES = """
accumulate and_ Any ascii_lowercase ascii_uppercase atan2 bisect bisect_left bisect_right cache
Callable ceil chain cmp_to_key collections comb combinations commonprefix copy count Counter cycle
datetime deepcopy defaultdict deque Dict dist factorial floor functools gcd Generator groupby
heapify heappop heappush heapq heapreplace hypot inf insort islice isqrt Iterable itemgetter
Iterator itertools json lcm List log log10 log2 lru_cache math merge nlargest np operator Optional
or_ OrderedDict pairwise partial permutations pi prod product randint random randrange re re_search
reduce repeat Set shuffle signal sqrt string sub sys Tuple Union xor zip_longest
"""
"""All that CodeI/O's own scripts import before every function."""
MODULES = ("bisect", "collections", "copy", "datetime", "random", "re", "signal", "string", "sys")


async def test_prelude_codeio_binds_all_that_codeio_itself_does(bench: Bench) -> None:
    """Each name is there, and modules are modules where a function has the same name."""
    names = CODEIO_NAMES.split()
    code = "def main_solution(names):\n    return [type(eval(n)).__name__ for n in names]\n# np\n"
    ended = await run(bench, code, {"args": [names]}, prelude="codeio")
    assert ended.status is Status.OK, ended.error
    kinds = dict(zip(names, ended.output, strict=True))
    assert {kinds[name] for name in MODULES} == {"module"}
    assert kinds["re_search"] == kinds["commonprefix"] == "function"


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("def main_solution(): return int(np.arange(4).sum())", {"args": []}),
        ("def main_solution(): pass", {"expression": "int(np.arange(4).sum())"}),
        ("def main_solution(): return eval('int(n' + 'p.arange(4).sum())')\n#np", {"args": []}),
    ],
)
async def test_prelude_codeio_binds_numpy_where_it_is_written(
    bench: Bench, code: str, call: dict[str, Any]
) -> None:
    """``np`` is there for whoever writes it, in the source or in the expression."""
    ended = await run(bench, code, call, prelude="codeio")
    assert (ended.status, ended.output) == (Status.OK, 6)


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (
            (
                "async def main():\n        async with asyncio.timeout(5):\n"
                "            await asyncio.sleep(0.01)\n"
                "            return await asyncio.to_thread(sum, [1, 2])\n"
                "    return asyncio.run(main())"
            ),
            3,
        ),
        (
            (
                "with concurrent.futures.ThreadPoolExecutor(4) as pool:\n"
                "        return list(pool.map(lambda x: x * x, range(5)))"
            ),
            [0, 1, 4, 9, 16],
        ),
        (
            (
                "found = []\n    timer = threading.Timer(0.01, found.append, [1]); timer.start()\n"
                "    timer.join(); return found"
            ),
            [1],
        ),
        (
            "k = threading.Lock()\n    with k: return [k.acquire(timeout=0.01), k.locked()]",
            [False, True],
        ),
        ("return [threading.Event().wait(0.01), threading.active_count()]", [False, 1]),
        ("q = queue.Queue(); q.put(1); return [q.get(timeout=1), q.qsize()]", [1, 0]),
        ("b = threading.Barrier(1); return b.wait(1)", 0),
        (
            (
                "hits = []\n    signal.signal(signal.SIGALRM, lambda *a: hits.append(1))\n"
                "    signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.05); return hits"
            ),
            [1],
        ),
        ("a, b = socket.socketpair(); a.send(b'x'); return b.recv(1).decode()", "x"),
        ("r, w = os.pipe(); os.write(w, b'x'); return os.read(r, 1).decode()", "x"),
        ("return sum(multiprocessing.pool.ThreadPool(2).map(abs, [-1, -2]))", 3),
        ("import multiprocessing.dummy as d; return d.Pool(2).map(abs, [-1])", [1]),
    ],
)
async def test_call_may_use_threads_timers_and_event_loops(
    bench: Bench, body: str, output: object
) -> None:
    """What needs neither a process nor the network works in the default profile."""
    code = (
        "import asyncio, concurrent.futures, multiprocessing.pool, os, queue, signal, socket\n"
        f"import threading, time\ndef main_solution():\n    {body}\n"
    )
    ended = await run(bench, code, {"args": []})
    assert (ended.status, ended.output) == (Status.OK, output), ended.error


async def test_call_to_random_is_different_every_time(bench: Bench) -> None:
    """Every execution has entropy of its own, numpy's too, although all are forks of one."""
    code = (
        "import random, secrets, uuid, os, numpy\ndef main_solution():\n"
        "    return [random.random(), secrets.token_hex(4), str(uuid.uuid4()), "
        "os.urandom(4).hex(),\n"
        "            float(numpy.random.random()), random.SystemRandom().random()]\n"
    )
    response = await bench.request(code, [{"args": []}] * 4, isolation="process")
    columns = zip(*(execution.output for execution in response.executions), strict=True)
    assert all(len(set(column)) == 4 for column in columns)


async def test_call_hash_order_is_the_same_every_time(bench: Bench) -> None:
    """The baseline runs under hash seed 0, so sets of strings have one order."""
    code = "def main_solution(): return list({'a', 'b', 'c', 'd', 'e'})"
    outputs = {str((await bench.call(code)).output) for _ in range(3)}
    assert len(outputs) == 1


@pytest.mark.parametrize("checks", [{}, {"determinism": {"runs": 2}, "complexity": "codeio"}])
async def test_call_with_infinite_arguments_is_run_and_never_certified(
    bench: Bench, checks: dict[str, Any]
) -> None:
    """As Python's floats; a NaN that is still one is no change of the arguments."""
    code = "import math\ndef main_solution(a): return [math.isnan(a[0]), a[1] > 1e308, -a[1] < 0]"
    args = {"args": [[float("nan"), float("inf")]]}
    response = await bench.request(
        code, [args], isolation="process", checks=checks, non_finite=True
    )
    (ended,) = response.executions
    assert (ended.status, ended.output) == (Status.OK, [True, True, True])
    assert ended.output_flags == []
    assert response.certificate is None


async def test_call_that_returns_its_infinite_argument_gives_it_as_text(bench: Bench) -> None:
    """Python's words in, Python's words out: answers stay strict JSON."""
    args = {"args": [float("-inf")]}
    ended = await run(bench, "def main_solution(x): return [x]", args, non_finite=True)
    assert (ended.status, ended.output, ended.output_text) == (Status.OK, None, "[-Infinity]")
