"""Packages of the image, each put to a small use by a job, and the list the image gives of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from harness.bench import Bench

from execbox.wire import Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

LOCK: Final = Path(__file__).resolve().parents[2] / "sandbox-image" / "requirements.lock"
FIGURE: Final = """
    import io
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3], label="line"), axes.set_title("title"), axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()[:8].hex()
"""
PNG: Final = "89504e470d0a1a0a"
USES: Final = {
    "PIL": ("from PIL import Image", "Image.new('L', (3, 2), 7).getpixel((1, 1))", 7),
    "pydantic": (
        "from pydantic import BaseModel\nclass Point(BaseModel):\n    x: int",
        "Point.model_validate({'x': '4'}).x",
        4,
    ),
    "pytest": ("import pytest", "0.1 + 0.2 == pytest.approx(0.3)", True),
    "requests": (
        "import requests",
        "requests.Request('GET', 'http://a.b/', params={'c': 1}).prepare().url",
        "http://a.b/?c=1",
    ),
    "six": ("import six", "six.PY3", True),
    "sortedcontainers": ("from sortedcontainers import SortedList", "SortedList([3, 1])[0]", 1),
    "tabulate": ("from tabulate import tabulate", "tabulate([[1, 2]], tablefmt='plain')", "1  2"),
    "tqdm": ("from tqdm import tqdm", "[n for n in tqdm([1, 2], disable=True)]", [1, 2]),
}
"""For each package its import, an expression, and what that gives."""


@pytest.mark.parametrize("package", USES)
async def test_package_is_imported_and_used_without_a_word_on_stderr(
    bench: Bench, package: str
) -> None:
    """By a function that names it, so that the zygote has it, in the profile for everybody."""
    imported, expression, expected = USES[package]
    code = f"{imported}\ndef main_solution(): return {expression}\n"
    ended = await bench.call(code, isolation="process")
    assert (ended.status, ended.output, ended.stderr) == (Status.OK, expected, ""), ended


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            f"import matplotlib.pyplot as plt\ndef main_solution():{FIGURE}", id="had by the zygote"
        ),
        pytest.param(
            f"def main_solution():\n    plt = __import__('matplotlib.pyplot').pyplot{FIGURE}",
            id="imported by the job",
        ),
    ],
)
@pytest.mark.parametrize("isolation", ["container", "process"])
async def test_matplotlib_draws_without_a_word_on_stderr(
    bench: Bench, code: str, isolation: str
) -> None:
    """Its cache of fonts is in the image; nothing can be written beside it, and nothing need be."""
    ended = await bench.call(code, isolation=isolation)
    assert (ended.status, ended.output, ended.stderr) == (Status.OK, PNG, ""), ended


async def test_matplotlib_reads_the_fonts_of_the_image_and_leaves_no_file(bench: Bench) -> None:
    """A cache that was not found would be made anew, in /tmp, at a second of CPU time."""
    code = """
import os
from matplotlib import font_manager, get_cachedir
def main_solution():
    made = os.path.exists(f"{get_cachedir()}/fontlist-v{font_manager.FontManager.__version__}.json")
    return [get_cachedir(), made, os.listdir("/tmp")]
"""
    ended = await bench.call(code, isolation="container")
    assert ended.output == ["/usr/lib/execbox/matplotlib", True, []], ended


async def test_functions_with_many_large_packages_fit_the_runners_allowance(bench: Bench) -> None:
    """What packages hold is none of the function's memory: the smallest limit there is will do."""
    code = (
        "import matplotlib.pyplot, pandas, scipy.stats\n"
        "def main_solution(): return sum(range(10))\n"
    )
    ended = await bench.call(
        code,
        isolation="container",
        limits={"memory_mb": 16},
        checks={"determinism": {"runs": 2}},
    )
    assert (ended.status, ended.output) == (Status.OK, 45), ended


async def test_requests_finds_no_network(bench: Bench) -> None:
    """The function sees what a machine without one would show it."""
    code = """
import requests
def main_solution():
    try:
        requests.get("http://192.0.2.1/", timeout=1)
    except requests.exceptions.ConnectionError:
        return "refused"
"""
    ended = await bench.call(code, isolation="process")
    assert (ended.status, ended.output) == (Status.OK, "refused"), ended


async def test_capabilities_name_what_the_lock_has(bench: Bench) -> None:
    """Every package in the version that was locked, and Python as the language."""
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text("utf-8"), re.MULTILINE))
    able = bench.runtime.capabilities()
    found = {re.sub(r"[-_.]+", "-", name).lower(): of for name, of in able.packages.items()}
    assert found == locked
    assert able.languages == ["python"]
