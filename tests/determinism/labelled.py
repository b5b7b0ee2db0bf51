"""Small functions that are deterministic, or not because of one thing, by construction. No tests.

``cause`` None: deterministic. ``uncertain`` says why a check cannot be sure to find a function out,
or to see where it is from; such functions are no part of recall and precision.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LABELLED", "Labelled"]


@dataclass(frozen=True)
class Labelled:
    """One function, how it is called, and what the check has to say."""

    name: str
    code: str
    cause: str | None
    calls: list[dict[str, Any]] = field(default_factory=lambda: [{"args": []}])
    uncertain: str | None = None


def _f(
    name: str,
    cause: str | None,
    body: str,
    *,
    before: str = "",
    calls: list[dict[str, Any]] | None = None,
    parameters: str = "",
    uncertain: str | None = None,
) -> Labelled:
    code = (
        f"{textwrap.dedent(before)}\n"
        f"def main_solution({parameters}):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    )
    return Labelled(name, code, cause, calls or [{"args": []}], uncertain)


_NAMES = "['ann', 'bob', 'cid', 'dan', 'eve', 'fay', 'gus', 'hal']"
_A = "class A:\n    pass\n"

_HASH_SEED = [
    _f("set_of_strings_listed", "hash_seed", f"return list(set({_NAMES}))"),
    _f("set_literal_joined", "hash_seed", "return '-'.join({'red', 'green', 'blue', 'white'})"),
    _f("set_comprehension_first", "hash_seed", f"return next(iter({{n[::-1] for n in {_NAMES}}}))"),
    _f("frozenset_popped", "hash_seed", f"s = set(frozenset({_NAMES}))\nreturn s.pop()"),
    _f("set_difference_order", "hash_seed", f"return list(set({_NAMES}) - {{'ann'}})"),
    _f(
        "keys_view_intersection",
        "hash_seed",
        f"d = dict.fromkeys({_NAMES})\nreturn list(d.keys() & {_NAMES})",
    ),
    _f("hash_of_string", "hash_seed", "return hash('abc')"),
    _f("hash_of_tuple_with_string", "hash_seed", "return hash((1, 'a')) % 1000003"),
    _f("hash_of_bytes", "hash_seed", "return hash(b'abc')"),
    _f("hash_bucket", "hash_seed", f"return [hash(n) % 16 for n in {_NAMES}]"),
    _f(
        "max_of_set_by_length",
        "hash_seed",
        "return max({'aaa', 'bbb', 'ccc', 'ddd', 'eee', 'fff'}, key=len)",
    ),
    _f(
        "counter_of_set_ties",
        "hash_seed",
        f"return Counter(set({_NAMES})).most_common(1)[0][0]",
        before="from collections import Counter",
    ),
    _f(
        "graph_walk_over_set",
        "hash_seed",
        "order, todo = [], {'a'}\n"
        "edges = {'a': {'b', 'c', 'd', 'e'}, 'b': {'f'}}\n"
        "while todo:\n"
        "    n = todo.pop()\n"
        "    order.append(n)\n"
        "    todo |= edges.get(n, set())\n"
        "return ''.join(order)",
    ),
    _f(
        "two_strings_in_a_set",
        "hash_seed",
        "return list({x, y})",
        parameters="x, y",
        calls=[{"args": [a, b]} for a, b in zip("abcdefgh", "stuvwxyz", strict=True)],
    ),
    _f(
        "datetime_hash",
        "hash_seed",
        "return hash(datetime.date(2020, 1, 1))",
        before="import datetime",
    ),
]
_ENTROPY = [
    _f("random_random", "entropy", "return random.random()", before="import random"),
    _f(
        "random_randint_small",
        "entropy",
        "return [random.randint(0, 9) for _ in range(8)]",
        before="import random",
    ),
    _f(
        "random_shuffle",
        "entropy",
        "x = list(range(12))\nrandom.shuffle(x)\nreturn x",
        before="import random",
    ),
    _f(
        "random_instance_unseeded",
        "entropy",
        "return random.Random().random()",
        before="import random",
    ),
    _f(
        "random_seeded_with_none",
        "entropy",
        "random.seed(None)\nreturn random.random()",
        before="import random",
    ),
    _f(
        "random_at_import",
        "entropy",
        "return K",
        before="import random\nK = random.getrandbits(32)",
    ),
    _f(
        "system_random",
        "entropy",
        "return random.SystemRandom().randrange(10**9)",
        before="import random",
    ),
    _f("numpy_legacy", "entropy", "return float(np.random.rand())", before="import numpy as np"),
    _f(
        "numpy_generator",
        "entropy",
        "return float(np.random.default_rng().normal())",
        before="import numpy as np",
    ),
    _f(
        "numpy_randomstate",
        "entropy",
        "return int(np.random.RandomState().randint(10**9))",
        before="import numpy as np",
    ),
    _f("uuid4", "entropy", "return str(uuid.uuid4())", before="import uuid"),
    _f("secrets_token", "entropy", "return secrets.token_hex(8)", before="import secrets"),
    _f("os_urandom", "entropy", "return os.urandom(4).hex()", before="import os"),
    _f(
        "tempfile_name",
        "entropy",
        "with tempfile.NamedTemporaryFile() as f:\n    return f.name",
        before="import tempfile",
    ),
    _f(
        "monte_carlo_pi",
        "entropy",
        "return sum(random.random()**2 + random.random()**2 < 1 for _ in range(2000)) / 500",
        before="import random",
    ),
]
_CLOCK = [
    _f("time_time", "clock", "return time.time()", before="import time"),
    _f("time_time_ns", "clock", "return time.time_ns()", before="import time"),
    _f(
        "datetime_now",
        "clock",
        "return datetime.datetime.now().isoformat()",
        before="import datetime",
    ),
    _f(
        "datetime_utc",
        "clock",
        "return str(datetime.datetime.now(datetime.timezone.utc))",
        before="import datetime",
    ),
    _f(
        "date_and_zone",  # as the date alone is near midnight
        "clock",
        "return time.strftime('%Y-%m-%d %Z')",
        before="import time",
    ),
    _f("date_today_year", "clock", "return datetime.date.today().year", before="import datetime"),
    _f(
        "age_in_years",
        "clock",
        "return (datetime.date.today() - datetime.date(1990, 5, 1)).days // 365",
        before="import datetime",
    ),
    _f(
        "weekday_today",
        "clock",
        "return datetime.date.today().strftime('%A')",
        before="import datetime",
    ),
    _f("time_strftime", "clock", "return time.strftime('%Y-%m-%d')", before="import time"),
    _f("gmtime_year_day", "clock", "return time.gmtime().tm_yday", before="import time"),
    _f(
        "seeded_by_the_date",
        "clock",
        "random.seed(int(time.time()) // 3600)\nreturn random.random()",
        before="import random, time",
    ),
    _f(
        "clock_gettime_realtime",
        "clock",
        "return int(time.clock_gettime(time.CLOCK_REALTIME)) // 86400",
        before="import time",
    ),
    _f("numpy_today", "clock", "return str(np.datetime64('today'))", before="import numpy as np"),
]
_FILE_DATES = [
    _f(
        "year_of_a_file",
        "clock",
        "open('x', 'w').close()\nreturn time.gmtime(os.path.getmtime('x')).tm_year",
        before="import os, time",
    ),
    _f(
        "year_in_a_tar",
        "clock",
        "open('x', 'w').close()\n"
        "with tarfile.open('t', 'w') as tar:\n    tar.add('x')\n"
        "return time.gmtime(tarfile.open('t').getmembers()[0].mtime).tm_year",
        before="import tarfile, time",
    ),
    _f(
        "year_in_a_zip",
        "clock",
        "open('x', 'w').close()\n"
        "with zipfile.ZipFile('z', 'w') as file:\n    file.write('x')\n"
        "return zipfile.ZipFile('z').infolist()[0].date_time[0]",
        before="import zipfile",
    ),
    _f(
        "day_in_a_gzip",
        "clock",
        "return int.from_bytes(gzip.compress(b'x')[4:8], 'little') // 86400",
        before="import gzip",
    ),
    # In days, it would be timing in the last hours of each day that the machine is up: timers that
    # start elsewhere are on the next day then.
    _f(
        "years_since_start",
        "clock",
        "return time.clock_gettime(time.CLOCK_BOOTTIME) // (365 * 86400)",
        before="import time",
    ),
    _f("days_up", "clock", "return float(open('/proc/uptime').read().split()[0]) // 86400"),
]
_TIMING = [
    _f(
        "perf_counter",
        "timing",
        "t = time.perf_counter()\nsum(range(1000))\nreturn time.perf_counter() - t",
        before="import time",
    ),
    _f("monotonic", "timing", "return time.monotonic()", before="import time"),
    _f(
        "process_time_coarse",
        "timing",
        "t = time.process_time()\nsorted(range(99))\nreturn time.process_time() - t",
        before="import time",
    ),
    _f("thread_time", "timing", "return time.thread_time_ns()", before="import time"),
    _f(
        "timing_loop",
        "timing",
        "n, end = 0, time.perf_counter() + 0.02\n"
        "while time.perf_counter() < end:\n"
        "    n += 1\n"
        "return n",
        before="import time",
    ),
    _f(
        "timeit_default_timer",
        "timing",
        "return timeit.timeit('1 + 1', number=200_000)",
        before="import timeit",
    ),
]
_PROCESS = [
    _f("name_of_time_zone", "process_state", "return time.tzname[0]", before="import time"),
    _f("id_of_object", "process_state", "return id(object())"),
    _f("id_as_key", "process_state", "x = [[1], [2]]\nreturn {str(id(y)): y for y in x}"),
    _f("default_repr", "process_state", "return repr(A())", before=_A),
    _f("repr_of_function", "process_state", "return str(main_solution)"),
    _f("repr_of_generator", "process_state", "return str(n for n in [])"),
    _f("hash_of_object", "process_state", "return hash(A())", before=_A),
    _f(
        "sorted_by_id",
        "process_state",
        "x = [A() for _ in range(40)]\nreturn [x.index(y) for y in sorted(x, key=id)]",
        before=_A,
    ),
    _f(
        "set_of_objects_listed",
        "process_state",
        "x = [A() for _ in range(12)]\nreturn [x.index(y) for y in set(x)]",
        before=_A,
    ),
    _f(
        "dict_keyed_by_set_of_objects",
        "process_state",
        "x = [A() for _ in range(9)]\n"
        "d = {y: n for n, y in enumerate(x)}\n"
        "return [d[y] for y in frozenset(x)]",
        before=_A,
    ),
    _f("getpid", "process_state", "return os.getpid()", before="import os"),
    _f("getcwd", "process_state", "return os.getcwd()", before="import os"),
    _f("abspath", "process_state", "return os.path.abspath('x.txt')", before="import os"),
    _f("home", "process_state", "return os.path.expanduser('~')", before="import os"),
    _f("environ_get", "process_state", "return os.environ.get('LANG')", before="import os"),
    _f("environ_size", "process_state", "return len(os.environ)", before="import os"),
    _f("getuid", "process_state", "return os.getuid()", before="import os"),
    _f(
        "thread_native_id",
        "process_state",
        "return threading.get_native_id()",
        before="import threading",
    ),
    _f("thread_ident", "process_state", "return threading.get_ident()", before="import threading"),
    _f(
        "locale_number",
        "process_state",
        "locale.setlocale(locale.LC_ALL, '')\n"
        "return locale.format_string('%.2f', 1234.5, grouping=True)",
        before="import locale",
    ),
    _f(
        "localtime_of_epoch",
        "process_state",
        "return time.strftime('%H:%M', time.localtime(0))",
        before="import time",
    ),
    _f(
        "fromtimestamp",
        "process_state",
        "return str(datetime.datetime.fromtimestamp(86400))",
        before="import datetime",
    ),
    _f(
        "listdir_order",
        "process_state",
        "for n in 'badc':\n    open(n, 'w').close()\nreturn os.listdir('.')",
        before="import os",
    ),
    _f(
        "glob_order",
        "process_state",
        "for n in 'badc':\n    open(n + '.txt', 'w').close()\nreturn glob.glob('*.txt')",
        before="import glob",
    ),
    _f(
        "walk_order",
        "process_state",
        "for n in 'badc':\n    open(n, 'w').close()\nreturn next(os.walk('.'))[2]",
        before="import os",
    ),
    _f("hostname", "process_state", "return socket.gethostname()", before="import socket"),
    _f("platform_node", "process_state", "return platform.node()", before="import platform"),
    _f("cpu_count", "process_state", "return os.cpu_count()", before="import os"),
    _f("affinity", "process_state", "return len(os.sched_getaffinity(0))", before="import os"),
    _f(
        "container_id",
        "process_state",
        "return open('/proc/self/cgroup').read()",
    ),
    _f("boot_id", "process_state", "return open('/proc/sys/kernel/random/boot_id').read()"),
    _f("memory_of_the_machine", "process_state", "return open('/proc/meminfo').readline()"),
    _f(
        "free_disk",
        "process_state",
        "return shutil.disk_usage('/').free >> 34",
        before="import shutil",
    ),
    _f(
        "inode_number",
        "process_state",
        "open('x', 'w').close()\nreturn os.stat('x').st_ino",
        before="import os",
    ),
    _f("device_number", "process_state", "return os.stat('/usr').st_dev", before="import os"),
]
_STEADY = [
    _f("arithmetic", None, "return sum(n * n for n in range(50))"),
    _f("random_seeded", None, "random.seed(4)\nreturn random.random()", before="import random"),
    _f(
        "random_instance_seeded",
        None,
        "return random.Random('x').sample(range(99), 5)",
        before="import random",
    ),
    _f(
        "numpy_seeded",
        None,
        "np.random.seed(1)\nreturn float(np.random.rand())",
        before="import numpy as np",
    ),
    _f(
        "numpy_generator_seeded",
        None,
        "return float(np.random.default_rng(3).normal())",
        before="import numpy as np",
    ),
    _f("set_of_strings_sorted", None, f"return sorted(set({_NAMES}))"),
    _f("set_of_strings_counted", None, f"return len(set({_NAMES}) | {{'zoe'}})"),
    _f("set_of_ints_listed", None, "return list({5, 1, 9, 33, 17})"),
    _f("set_membership", None, f"return 'bob' in set({_NAMES})"),
    _f("dict_order", None, f"return list(dict.fromkeys({_NAMES}))"),
    _f("hash_of_int", None, "return hash(12345) + hash(2.5) + hash((1, 2))"),
    _f("object_in_dict", None, "d = {A(): 1, A(): 2}\nreturn list(d.values())", before=_A),
    _f("id_compared", None, "x = []\nreturn id(x) == id(x), id(x) == id([])"),
    _f(
        "id_memo",
        None,
        "x = [[1], [2]]\n"
        "seen = {id(y): n for n, y in enumerate(x)}\n"
        "return [seen[id(y)] for y in x]",
    ),
    _f("repr_masked", None, "return type(A()).__name__", before=_A),
    _f("uuid5", None, "return str(uuid.uuid5(uuid.NAMESPACE_DNS, 'a.b'))", before="import uuid"),
    _f(
        "hashlib_digest", None, "return hashlib.sha256(b'abc').hexdigest()", before="import hashlib"
    ),
    _f(
        "fixed_date",
        None,
        "return (datetime.date(2024, 2, 29) + datetime.timedelta(365)).isoformat()",
        before="import datetime",
    ),
    _f(
        "utc_timestamp_given",
        None,
        "return datetime.datetime.fromtimestamp(86400, datetime.timezone.utc).isoformat()",
        before="import datetime",
    ),
    _f(
        "time_read_and_ignored",
        None,
        "t = time.time()\nx = sorted('hello')\nelapsed = time.time() - t\nreturn x, elapsed < 60",
        before="import time",
    ),
    _f("sleeps", None, "time.sleep(0.02)\nreturn 'awake'", before="import time"),
    _f(
        "threads_joined_in_order",
        None,
        "out = [None] * 4\n"
        "def work(n):\n"
        "    out[n] = n * n\n"
        "ts = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "[t.start() for t in ts]\n"
        "[t.join() for t in ts]\n"
        "return out",
        before="import threading",
    ),
    _f(
        "executor_map",
        None,
        "with ThreadPoolExecutor(4) as pool:\n"
        "    return list(pool.map(lambda n: n + 1, range(20)))",
        before="from concurrent.futures import ThreadPoolExecutor",
    ),
    _f(
        "asyncio_gather",
        None,
        "async def one(n):\n"
        "    await asyncio.sleep(0.001 * (3 - n))\n"
        "    return n\n"
        "async def every():\n"
        "    return await asyncio.gather(*map(one, range(3)))\n"
        "return asyncio.run(every())",
        before="import asyncio",
    ),
    _f(
        "listdir_sorted",
        None,
        "for n in 'badc':\n    open(n, 'w').close()\nreturn sorted(os.listdir('.'))",
        before="import os",
    ),
    _f(
        "environ_missing",
        None,
        "return os.environ.get('NO_SUCH_NAME', 'absent')",
        before="import os",
    ),
    _f("cpu_count_positive", None, "return os.cpu_count() > 0", before="import os"),
    _f(
        "float_sum", None, "return sum(0.1 for _ in range(10)), math.sin(1e6)", before="import math"
    ),
    _f(
        "global_counter",
        None,
        "global N\nN += 1\nreturn N",
        before="N = 0",
        calls=[{"args": []}] * 3,
    ),
    _f(
        "lru_cache_across_calls",
        None,
        "return f(n), f.cache_info().hits",
        before="from functools import lru_cache\n"
        "@lru_cache\n"
        "def f(n):\n"
        "    return n if n < 2 else f(n - 1) + f(n - 2)",
        parameters="n",
        calls=[{"args": [9]}, {"args": [9]}, {"args": [4]}],
    ),
    _f(
        "mutable_default",
        None,
        "seen.append(n)\nreturn seen",
        parameters="n, seen=[]",
        calls=[{"args": [1]}, {"args": [2]}],
    ),
    _f(
        "module_state",
        None,
        "STATE[k] = STATE.get(k, 0) + 1\nreturn STATE",
        before="STATE = {}",
        parameters="k",
        calls=[{"args": ["a"]}, {"args": ["a"]}],
    ),
    _f(
        "class_attribute_state",
        None,
        "A.n = getattr(A, 'n', 0) + 1\nreturn A.n",
        before=_A,
        calls=[{"args": []}] * 2,
    ),
    _f(
        "mutates_argument",
        None,
        "x.sort()\nreturn x",
        parameters="x",
        calls=[{"args": [[3, 1, 2]]}] * 2,
    ),
    _f(
        "recursion_error_caught",
        None,
        "def f(n):\n"
        "    try:\n"
        "        return f(n + 1)\n"
        "    except RecursionError:\n"
        "        return 'deep'\n"
        "return f(0)",
    ),
    _f(
        "garbage_collected",
        None,
        "r = weakref.ref(A())\ngc.collect()\nreturn r() is None",
        before="import gc, weakref\n" + _A,
    ),
    _f(
        "sympy_expression",
        None,
        "x, y = sympy.symbols('x y')\nreturn str(sympy.expand((x + y) ** 3))",
        before="import sympy",
    ),
    _f(
        "networkx_path",
        None,
        "return nx.shortest_path(nx.cycle_graph(6), 0, 2)",
        before="import networkx as nx",
    ),
    _f(
        "writes_and_reads_a_file",
        None,
        "with open('x.txt', 'w') as f:\n    f.write('héllo')\nreturn open('x.txt').read()",
    ),
    _f(
        "hash_seed_free_pickle",
        None,
        "return pickle.dumps({'b': 1, 'a': [2, 3]}).hex()",
        before="import pickle",
    ),
]
_UNCERTAIN = [
    _f(
        "race_over_appends",
        "timing",
        "out = []\n"
        "def work(n):\n"
        "    for _ in range(3000):\n"
        "        out.append(n)\n"
        "ts = [threading.Thread(target=work, args=(n,)) for n in range(3)]\n"
        "[t.start() for t in ts]\n"
        "[t.join() for t in ts]\n"
        "return sum(a != b for a, b in zip(out, out[1:]))",
        before="import threading",
        uncertain="threads often run to their end before the next one starts",
    ),
    _f(
        "lost_updates",
        "timing",
        "N = [0]\n"
        "def work():\n"
        "    for _ in range(2000):\n"
        "        n = N[0]\n"
        "        time.sleep(0)\n"
        "        N[0] = n + 1\n"
        "ts = [threading.Thread(target=work) for _ in range(2)]\n"
        "[t.start() for t in ts]\n"
        "[t.join() for t in ts]\n"
        "return N[0]",
        before="import threading, time",
        uncertain="whether an update is lost is up to the kernel's scheduler",
    ),
    _f(
        "coin",
        "entropy",
        "return random.random() < 0.5",
        before="import random",
        uncertain="six runs of a coin agree once in 32 times",
    ),
    _f(
        "rare_flip",
        "entropy",
        "return random.random() < 1e-4",
        before="import random",
        uncertain="nobody sees what happens once in ten thousand runs",
    ),
    _f(
        "birthday_far_away",
        "clock",
        "return datetime.date.today().year > 2200",
        before="import datetime",
        uncertain="dates are moved by years, not by centuries",
    ),
    _f(
        "random_result_rarely_used",
        "entropy",
        "x = random.random()\nreturn x > 2",
        before="import random",
        uncertain="deterministic although it reads entropy, unless random() is wrong",
    ),
    _f(
        "uuid1",
        "entropy",
        "return str(uuid.uuid1())",
        before="import uuid",
        uncertain="reads date, host and entropy at once: any of them is a right answer",
    ),
    _f(
        "time_difference",
        "clock",
        "t = time.time()\nsum(range(1000))\nreturn time.time() - t",
        before="import time",
        uncertain="a duration measured with the date: clock or timing, both are right",
    ),
    _f(
        "elapsed_rounded",
        "clock",
        "t = time.time()\nsum(range(1000))\nreturn round(time.time() - t, 1)",
        before="import time",
        uncertain="0.0 unless the machine is very slow",
    ),
    _f(
        "memory_usage",
        "process_state",
        "return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
        before="import resource",
        uncertain="kernel counters are not varied, they only happen to differ",
    ),
    _f(
        "load_average",
        "timing",
        "return os.getloadavg()[0]",
        before="import os",
        uncertain="kernel counters are not varied, they only happen to differ",
    ),
    _f(
        "python_version",
        None,
        "return sys.version",
        before="import sys",
        uncertain="another Python gives another answer: the certificate names the version",
    ),
]

LABELLED = [
    *_HASH_SEED,
    *_ENTROPY,
    *_CLOCK,
    *_FILE_DATES,
    *_TIMING,
    *_PROCESS,
    *_STEADY,
    *_UNCERTAIN,
]
