"""verl's own classes under execbox's tool and reward function, loaded out of its wheel.

verl imports torch, ray and more when it is imported at all. Its tools need few of these: its
package is made of the same files without running what it does at import.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from execbox import AsyncClient, ClientConfig, InvalidRequest, RetryPolicy
from execbox.integrations import verl
from tests.live_service import LiveService

verl_spec = importlib.util.find_spec("verl")
pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("default")]

TRUTH = {"inputs": ["2", "3"], "outputs": ["4", "6"]}


@pytest.fixture(scope="module")
def verl_tools() -> Iterator[Any]:
    """``execbox.integrations.verl_tools`` upon verl's real modules, whose packages run no code."""
    if verl_spec is None:
        pytest.skip("verl is not installed")
    assert verl_spec.submodule_search_locations is not None
    (folder,) = verl_spec.submodule_search_locations
    for name in ("verl", "verl.utils", "verl.tools"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(folder, *name.split(".")[1:]))]
        sys.modules[name] = package
    yield importlib.import_module("execbox.integrations.verl_tools")
    for name in [name for name in sys.modules if name.split(".")[0] == "verl"]:
        del sys.modules[name]


@pytest.fixture
def at_service(service: LiveService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's address is where a trainer's environment has it."""
    monkeypatch.setenv("EXECBOX_URL", service.url)
    verl._client.cache_clear()


@pytest.mark.parametrize(
    ("response", "truth", "score"),
    [
        ("```python\nprint(int(input()) * 2)\n```", TRUTH, 1.0),
        ("print(4)", '{"inputs": ["2", "3"], "outputs": ["4", "6"]}', 0.5),
        ("\x00", TRUTH, 0.0),
        ("def f(n): return n", {"tests": ["assert f(1) == 1"]}, 1.0),
        ('{"output": 3}', {"kind": "output", "output": 3}, 1.0),
    ],
)
async def test_score_is_of_what_the_response_does(
    at_service: None, response: str, truth: Any, score: float
) -> None:
    """With the extra information that goes along."""
    found = await verl.compute_score("code", response, truth, {}, partial=True)
    assert found == {"score": score, "acc": score, "execbox_unknown": 0.0}


async def test_keys_that_a_row_of_a_table_has_none_of_are_as_if_they_were_not_there(
    at_service: None,
) -> None:
    """Parquet gives each row the keys of all rows."""
    keys = ("tests", "assert_case", "fn_name", "inputs", "outputs", "kind", "output")
    nothing: dict[str, Any] = dict.fromkeys(keys)
    program = nothing | {"inputs": ["2"], "outputs": ["2"]}
    assert (await verl.compute_score("code", "print(input())", program))["score"] == 1.0
    asserted = nothing | {"assert_case": ["assert f(1) == 1"]}
    assert (await verl.compute_score("code", "def f(n): return n", asserted))["score"] == 1.0
    predicted = nothing | {"kind": "output", "output": 3}
    assert (await verl.compute_score("code", '{"output": 3}', predicted))["score"] == 1.0


CALLS = {"fn_name": "search", "inputs": ["[1, 5]\n5", "[]\n1\n"], "outputs": ["1", "-1"]}
SOLUTION = """
class Solution:
    def search(self, numbers: List[int], wanted: int) -> int:
        return numbers.index(wanted) if wanted in numbers else -1

if __name__ == "__main__":
    print(input())
"""


@pytest.mark.parametrize(
    ("response", "truth", "score"),
    [
        (f"```python{SOLUTION}```", CALLS, 1.0),
        ("def search(a, b): return a.index(b) if b in a else -1", CALLS, 1.0),
        ("def search(a, b): return -1", CALLS, 0.5),
        ("def find(a, b): return -1", CALLS, 0.0),
        ("def search(a, b:", CALLS, 0.0),
        (
            "from __future__ import annotations\nprint = None\ndef search(a, b): return 1",
            CALLS,
            0.5,
        ),
        ("def f(x): return (x, None)", {"inputs": ['"a"'], "outputs": ['["a", null]']}, 1.0),
        ("def f(x): return x * 2", {"inputs": ['"a"'], "outputs": ["aa"]}, 1.0),
        ("def f(): return True", {"inputs": [""], "outputs": [True]}, 1.0),
        ("def f(x): return gcd(x, 4)", {"inputs": [6], "outputs": [2]}, 1.0),
    ],
)
async def test_calls_of_a_function_are_made_and_printed_as_verl_does(
    at_service: None, response: str, truth: dict[str, Any], score: float
) -> None:
    """A function or a method of Solution; its names are there, and its main block is not run."""
    truth = {"fn_name": "f"} | truth
    found = await verl.compute_score("code", response, truth, partial=True)
    assert found["score"] == score


async def test_assert_cases_are_tests(at_service: None) -> None:
    """With no input and no output besides, as datasets have them."""
    truth = {"inputs": ["", None], "outputs": [None, None]}
    truth["assert_case"] = ["assert f(1) == 1", "assert f(2) == 4"]
    found = await verl.compute_score("code", "def f(n): return n", truth, partial=True)
    assert found["score"] == 0.5
    empty = {"inputs": ["2"], "outputs": ["2"], "assert_case": [""]}
    assert (await verl.compute_score("code", "print(input())", empty))["score"] == 1.0


@pytest.mark.parametrize(
    ("truth", "complaint"),
    [
        ({"inputs": "12", "outputs": "24"}, "inputs is '12'; give a list"),
        ({"inputs": ["12"], "outputs": "2"}, "outputs is '2'; give a list"),
        ({"tests": "assert f(1) == 1"}, "tests is 'assert"),
        ({"tests": {"a": 1}}, "tests is"),
        ({"inputs": [["1", "2"]], "outputs": ["3"]}, r"inputs\[0\]"),
        ({"inputs": ["1"], "outputs": [None]}, r"outputs\[0\] is 'None'"),
        ({"inputs": ["1"], "outputs": ["1"], "assert_case": ["assert f()"]}, "only one kind"),
        ({"inputs": ["1"], "outputs": ["1"], "assert_case": "assert f()"}, "assert_case is"),
        ({"inputs": ["x"], "outputs": ["1"], "fn_name": "f"}, "not JSON"),
        ({"inputs": "1", "outputs": ["1"], "fn_name": "f"}, "inputs is '1'"),
        ({"inputs": ["1"], "outputs": ["1"], "fn_name": "f(); g"}, "no name"),
        ({"inputs": ["1"], "outputs": ["1", "2"], "fn_name": "f"}, "1 inputs and 2 outputs"),
    ],
)
async def test_ground_truth_in_a_shape_of_which_nothing_could_pass_is_refused(
    truth: dict[str, Any], complaint: str
) -> None:
    """Before anything is run: each right response would be worth 0."""
    with pytest.raises(InvalidRequest, match=complaint):
        await verl.compute_score("code", "x = 1", truth)


async def test_ground_truth_that_is_none_is_the_datasets_mistake(at_service: None) -> None:
    """Said with what it has."""
    with pytest.raises(InvalidRequest, match="has answer; give inputs and outputs"):
        await verl.compute_score("code", "x", {"answer": 1})


async def test_failure_of_the_service_is_raised_or_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's tensor of rewards has no word for it."""
    config = ClientConfig(base_url="http://127.0.0.1:9", retry=RetryPolicy.never())
    async with AsyncClient(config=config) as lost:
        monkeypatch.setattr(verl, "_client", lambda: lost)
        with pytest.raises(verl.OutcomeUnknown):
            await verl.compute_score("code", "print(4)", TRUTH)
        found = await verl.compute_score("code", "print(4)", TRUTH, unknown_score=-1.0)
    assert (found["score"], found["execbox_unknown"]) == (-1.0, 1.0)
    assert math.isnan(found["acc"])


async def test_tool_runs_what_the_agent_loop_gives_it(
    verl_tools: Any, service: LiveService
) -> None:
    """As a native tool of verl's registry: created, executed and released."""
    schemas = importlib.import_module("verl.tools.schemas")
    tool = verl_tools.ExecboxTool({"type": "native", "url": service.url, "name": "python"}, None)
    assert tool.name == "python"
    assert isinstance(tool.get_openai_tool_schema(), schemas.OpenAIFunctionToolSchema)
    instance_id, _ = await tool.create()
    response, reward, metrics = await tool.execute(instance_id, {"code": "print(1)\n1/0"})
    await tool.release(instance_id)
    assert response.text.startswith("1\nTraceback")
    assert (reward, metrics) == (0.0, {"execbox_unknown": 0.0})
    lost = verl_tools.ExecboxTool({"type": "native", "url": "http://127.0.0.1:9"}, None)
    response, _reward, metrics = await lost.execute("1", {"code": "print(1)"})
    assert "says nothing about this code" in response.text
    assert metrics == {"execbox_unknown": 1.0}


async def test_function_tool_is_registered_by_its_path(verl_tools: Any, at_service: None) -> None:
    """As ``function_tool_path`` loads it; verl's own reading of what it returns."""
    function_tool = importlib.import_module("verl.tools.function_tool")
    spec = importlib.util.find_spec("execbox.integrations.verl_functions")
    assert spec is not None
    (tool,) = function_tool.load_function_tools_from_path(spec.origin)
    assert tool.tool_schema.function.parameters.required == ["code"]
    returned = await tool.call({"code": "print(6 * 7)"})
    response, reward, metrics = function_tool.normalize_function_tool_return(returned)
    assert (response.text, reward, metrics) == ("42\n", 0.0, {"execbox_unknown": 0.0})


def test_client_is_patient_because_what_is_unknown_ends_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the environment says, and through more failures than by default."""
    monkeypatch.setenv("EXECBOX_URL", "http://127.0.0.1:9")
    verl._client.cache_clear()
    config = verl._client().config
    verl._client.cache_clear()
    assert config.base_url == "http://127.0.0.1:9"
    assert config.retry.window_s == 600.0
    assert config.retry.unavailable_retries_max > RetryPolicy().unavailable_retries_max
    assert config.retry.connect_retries_max == RetryPolicy().connect_retries_max
