"""``ExecboxExecutor`` under smolagents' own ``CodeAgent``, whose model reads from a script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from execbox import Client, ConnectionBroken, SessionGone, _session_exchanges
from execbox.wire import SessionLimits
from tests.live_service import LiveService

smolagents = pytest.importorskip("smolagents", reason="smolagents is not installed")

from execbox.integrations import _smolagents_cells  # noqa: E402
from execbox.integrations.smolagents import ExecboxExecutor, ExecutionUnknown  # noqa: E402

pytestmark = pytest.mark.docker


class ScriptedModel(smolagents.Model):  # type: ignore[name-defined]
    """Answers each turn with the next piece of code, and keeps what it was shown."""

    def __init__(self, *cells: str) -> None:
        super().__init__(model_id="scripted")
        self._cells = list(cells)
        self.seen: list[str] = []

    def generate(self, messages: list[Any], **_options: Any) -> Any:
        parts = messages[-1].content
        self.seen.append("".join(part["text"] for part in parts if part["type"] == "text"))
        content = f"Thought: next.\n<code>\n{self._cells.pop(0)}\n</code>"
        return smolagents.ChatMessage(role=smolagents.models.MessageRole.ASSISTANT, content=content)


class Doubled(smolagents.Tool):  # type: ignore[name-defined]
    """A tool that is sent as source."""

    name = "doubled"
    description = "Doubles a number."
    inputs = {"number": {"type": "integer", "description": "What to double."}}  # noqa: RUF012
    output_type = "integer"

    def forward(self, number: int) -> int:
        import fractions

        return int(fractions.Fraction(number) * 2)


@pytest.fixture
def executor(client: Client) -> Iterator[ExecboxExecutor]:
    """One with the defaults."""
    made = ExecboxExecutor(client)
    yield made
    made.cleanup()


def run_agent(
    executor: ExecboxExecutor, *cells: str, **options: Any
) -> tuple[Any, ScriptedModel, Any]:
    """What an agent answers whose model writes these cells; the model; the agent."""
    model = ScriptedModel(*cells)
    agent = smolagents.CodeAgent(
        tools=options.pop("tools", []),
        model=model,
        executor=executor,
        verbosity_level=-1,
        max_steps=len(cells),
        **options,
    )
    return (
        agent.run("Do it.", additional_args={"start": 20, "names": ("a", {1: b"x"})}),
        model,
        agent,
    )


def test_agent_keeps_variables_uses_tools_and_answers(executor: ExecboxExecutor) -> None:
    """Four steps: state from step to step, printed logs, a tool, an error and the final answer."""
    answer, model, _agent = run_agent(
        executor,
        "x = start + 1\nprint('x is', x)",
        "x / 0",
        "y = doubled(x)\ny",
        "final_answer((y, names))",
        tools=[Doubled()],
    )
    assert answer == (42, ("a", {1: b"x"}))
    assert "x is 21" in model.seen[1]
    assert "ZeroDivisionError: division by zero" in model.seen[2]
    assert "Last output from code snippet:\n42" in model.seen[3]


def test_agent_with_authorized_imports_refuses_others(client: Client) -> None:
    """In smolagents' own words; those of a tool are the tool's."""
    executor = ExecboxExecutor(client, additional_authorized_imports=["numpy", "os.path"])
    answer, model, _agent = run_agent(
        executor,
        "import subprocess",
        "import numpy as np, os.path, math\nfinal_answer(int(np.sum([1, 2])) + doubled(1))",
        tools=[Doubled()],
    )
    executor.cleanup()
    assert "Import of subprocess is not allowed" in model.seen[1]
    assert answer == 5


def test_cell_over_its_limit_is_an_error_of_the_code(client: Client) -> None:
    """A timeout keeps the variables; running out of memory loses them and begins anew, with tools
    and variables."""
    executor = ExecboxExecutor(client, limits=SessionLimits(cpu_time_s=0.5, memory_mb=64))
    answer, model, _agent = run_agent(
        executor,
        "kept = 1",
        "while True: kept += 1",
        "waste = [bytes(10**7) + bytes([kept > 1]) for _ in range(100)]",
        "kept",
        "final_answer(doubled(start))",
        tools=[Doubled()],
    )
    executor.cleanup()
    assert "ended with timeout (cpu_time)" in model.seen[2]
    assert "memory_exceeded" in model.seen[3]
    assert "All variables are lost" in model.seen[3]
    assert "NameError: name 'kept'" in model.seen[4]
    assert answer == 40


def test_images_are_outputs_and_answers(executor: ExecboxExecutor) -> None:
    """A figure that is open, and an image as the final answer."""
    answer, _model, agent = run_agent(
        executor,
        "import matplotlib.pyplot as plt\nlines = plt.plot([1, 2])",
        "import PIL.Image\nfinal_answer(PIL.Image.new('RGB', (3, 2)))",
    )
    figure = agent.memory.steps[1].action_output
    assert figure.format == "PNG"
    assert answer.to_raw().size == (3, 2)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("(1, {2: 'a'}, {3}, b'x', None, 1e300, 'é')", (1, {2: "a"}, {3}, b"x", None, 1e300, "é")),
        ("'a' * 30_000", "a" * 30_000),
        ("[0] * 9_999", [0] * 9_999),
        ("object", "<class 'object'>"),
        ("'[' * 30", "[" * 30),
        ("float('nan')", "nan"),
        ("x = 3", None),
        ("x\ud800", None),
    ],
)
def test_output_is_the_value_where_it_can_be_carried(
    executor: ExecboxExecutor, code: str, output: object
) -> None:
    """Literals as they are, long ones as JSON, everything else as its repr."""
    if not code.isprintable():
        with pytest.raises(smolagents.local_python_executor.InterpreterError, match="be run"):
            executor(code)
        return
    assert executor(code).output == output


def test_code_that_answers_in_a_bare_except_has_answered_nothing(executor: ExecboxExecutor) -> None:
    """What a cell catches has not ended it, as with smolagents' own executor; and a class of the
    answer's name without an answer is an exception like any."""
    executor.send_tools({"final_answer": smolagents.FinalAnswerTool()})
    caught = executor("try:\n    final_answer(1)\nexcept BaseException:\n    pass\n2")
    assert (caught.output, caught.is_final_answer) == (2, False)
    executor("del __execbox_final_answer__\nclass ExecboxFinalAnswer(Exception): pass")
    with pytest.raises(smolagents.local_python_executor.InterpreterError, match="mine"):
        executor("raise ExecboxFinalAnswer('mine')")


def test_service_that_is_gone_ends_the_run_and_is_not_shown_to_the_model(
    lost_client: Client,
) -> None:
    """An agent takes every Exception for the code's; this is none."""
    with pytest.raises(ExecutionUnknown, match="no session could be begun"):
        run_agent(ExecboxExecutor(lost_client), "final_answer(1)")


def test_session_that_is_gone_is_unknown_until_a_run_begins_anew(
    executor: ExecboxExecutor, client: Client
) -> None:
    """Never an empty namespace in its place, within a run."""
    executor.send_variables({"a": 1})
    executor("b = 2")
    begun = executor._session
    assert begun is not None
    begun._transport.send(_ending(begun))
    model = ScriptedModel("b")
    agent = smolagents.CodeAgent(tools=[], model=model, executor=executor, verbosity_level=-1)
    with pytest.raises(ExecutionUnknown, match="session"):
        agent.run("Do it.")
    assert executor("a").output == 1


def test_session_that_is_given_up_is_ended_in_the_service(
    executor: ExecboxExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a connection broke nobody knows what the cell did, and the session would be counted
    until it had been idle for long."""
    executor("a = 1")
    begun = executor._session
    assert begun is not None
    info, transport = begun._begun, begun._transport

    def broken(_code: str) -> None:
        raise ConnectionBroken("the connection broke while the cell ran")

    monkeypatch.setattr(begun, "run", broken)
    with pytest.raises(ExecutionUnknown, match="connection broke"):
        executor("b = 2")
    with pytest.raises(SessionGone):
        transport.send(_session_exchanges.info(info))


def _ending(session: Any) -> Any:
    return _session_exchanges.end(session._begun)


def test_managed_agents_and_values_without_a_form_are_refused_with_a_reason(
    executor: ExecboxExecutor, service: LiveService
) -> None:
    """Before anything of them is sent."""
    with pytest.raises(ValueError, match="helper cannot be called from inside a sandbox"):
        executor.send_tools({"helper": object()})
    with pytest.raises(smolagents.serialization.SerializationError):
        executor.send_variables({"service": service})


def test_session_that_could_not_be_prepared_is_given_up(
    executor: ExecboxExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next cell would find it without tools and variables; it finds a new one."""
    with monkeypatch.context() as patched:
        patched.setattr(_smolagents_cells, "imports_cell", lambda _allowed: "1 / 0")
        with pytest.raises(ExecutionUnknown, match="cannot be prepared"):
            executor("1")
    assert executor._session is None
    executor.send_variables({"a": 1})
    assert executor("a").output == 1


def test_session_that_cannot_be_ended_costs_no_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent has it when it cleans up, and the service ends an idle session by itself."""
    executor = ExecboxExecutor(client)
    assert executor("6 * 7").output == 42
    begun = executor._session
    assert begun is not None

    def broken() -> None:
        raise ConnectionBroken("the connection broke")

    with monkeypatch.context() as patched:
        patched.setattr(begun, "close", broken)
        executor.cleanup()
    begun.close()
