"""Asking through execbox's own client, and the integrations built on it, as their users do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

from acceptance.unknowns.adapter import Adapter, Ask, said_of
from acceptance.unknowns.checks import Check, Said
from execbox import AsyncClient, Client, ClientConfig, ExecboxError, RequestError
from execbox.integrations import azr, trl, verl

__all__ = ["OWN_ADAPTERS"]

_MANY: Final = 40
_SESSION_CELLS: Final = 20
_SESSIONS: Final = 12
"""A key may have 16, and what lost its session begins a new one before the old has ended."""


@contextmanager
def _client(url: str) -> Iterator[Client]:
    with Client(config=ClientConfig(base_url=url)) as client:
        yield client


def _each(ask: Callable[[Client, Check], Said]) -> Callable[[str], AbstractContextManager[Ask]]:
    """One request for each check; what the client raises is no verdict, unless it blames us."""

    @contextmanager
    def opened(url: str) -> Iterator[Ask]:
        with _client(url) as client:

            def one(check: Check) -> Said:
                try:
                    return ask(client, check)
                except RequestError:
                    raise
                except ExecboxError:
                    return Said.UNKNOWN

            yield lambda checks: [one(check) for check in checks]

    return opened


def _run(client: Client, check: Check) -> Said:
    case = {"stdin": str(check.n), "expected": {"stdout": f"{check.wanted}\n"}}
    (run,) = client.run(check.program, [case], isolation="process").runs
    return _of_verdict(run.verdict)


def _verify(client: Client, check: Check) -> Said:
    function = {"code": check.function, "entry_point": "f"}
    asked = {"id": "0", "kind": "input", "function": function, "output": check.wanted}
    (item,) = client.verify([asked | {"prediction": {"n": check.n}}], isolation="process").items
    return _of_verdict(item.verdict)


def _of_verdict(verdict: str | None) -> Said:
    return said_of(right=None if verdict in (None, "not_run") else verdict == "correct")


@contextmanager
def _batch(url: str) -> Iterator[Ask]:
    with _client(url) as client:

        def ask(checks: Sequence[Check]) -> list[Said]:
            lines = [
                {
                    "id": str(place),
                    "op": "run",
                    "program": {"code": check.program, "stdin": str(check.n)},
                    "expected": {"stdout": f"{check.wanted}\n"},
                    "isolation": "process",
                }
                for place, check in enumerate(checks)
            ]
            # A line without a result would be a check that is lost.
            said = [Said.OTHER] * len(checks)
            for result in client.batch(lines):
                place = int(str(result.id))
                if result.error is not None:
                    said[place] = Said.UNKNOWN if result.error.retryable else Said.OTHER
                else:
                    answer: Any = result.answer
                    said[place] = _of_verdict(answer.runs[0].verdict)
            return said

        yield ask


def _of_rewards(rewards: Sequence[float | None]) -> list[Said]:
    return [said_of(right=None if reward is None else reward == 1.0) for reward in rewards]


@contextmanager
def _trl_programs(url: str) -> Iterator[Ask]:
    with _client(url) as client:
        rewards = trl.Rewards(client, isolation="process")
        yield lambda checks: _of_rewards(
            rewards.program_reward(
                [check.program for check in checks],
                inputs=[[str(check.n)] for check in checks],
                outputs=[[str(check.wanted)] for check in checks],
            )
        )


@contextmanager
def _trl_tests(url: str) -> Iterator[Ask]:
    with _client(url) as client:
        rewards = trl.Rewards(client, isolation="process")
        yield lambda checks: _of_rewards(
            rewards.tests_reward(
                [check.function for check in checks],
                tests=[[check.assertion] for check in checks],
            )
        )


@contextmanager
def _azr(url: str) -> Iterator[Ask]:
    with _client(url) as client:
        executor = azr.PythonExecutor(client=client, isolation="process")

        def one(check: Check) -> Said:
            score = executor.eval_input_prediction(
                check.function, gold_output=str(check.wanted), agent_input=str(check.n)
            )
            return said_of(right=None if score is None else score == 1.0)

        yield lambda checks: [one(check) for check in checks]


@contextmanager
def _verl_function(url: str) -> Iterator[Ask]:
    """As verl's reward loop awaits it; it finds the service by ``EXECBOX_URL``."""
    del url

    async def one(check: Check) -> Said:
        truth = {"inputs": [str(check.n)], "outputs": [str(check.wanted)]}
        try:
            told = await verl.compute_score("code", check.program, truth, isolation="process")
        except verl.OutcomeUnknown:
            return Said.UNKNOWN
        return said_of(right=told["score"] == 1.0)

    with asyncio.Runner() as runner:
        yield lambda checks: runner.run(_together([one(check) for check in checks]))


async def _together(asked: list[Coroutine[Any, Any, Said]]) -> list[Said]:
    return list(await asyncio.gather(*asked))


@contextmanager
def _smolagents(url: str) -> Iterator[Ask]:
    """The cells of a group in one session, as those of one agent's run are."""
    from smolagents.local_python_executor import InterpreterError

    from execbox.integrations.smolagents import ExecboxExecutor, ExecutionUnknown

    with _client(url) as client:

        def ask(checks: Sequence[Check]) -> list[Said]:
            executor = ExecboxExecutor(client)

            def one(check: Check) -> Said:
                try:
                    return said_of(right=executor(check.cell).output == check.wanted)
                except InterpreterError:
                    return Said.ZERO
                except ExecutionUnknown:
                    return Said.UNKNOWN

            try:
                return [one(check) for check in checks]
            finally:
                # The service ends by itself, later, what cannot be ended now.
                with suppress(ExecutionUnknown):
                    executor.cleanup()

        yield ask


@contextmanager
def _mcp(url: str) -> Iterator[Ask]:
    """A tool's call by the SDK's client; the result says what was printed."""
    from mcp import Client as McpClient

    from execbox.integrations.mcp import execbox_server

    async def all_of(checks: Sequence[Check]) -> list[Said]:
        config = ClientConfig(base_url=url)
        async with (
            AsyncClient(config=config) as service,
            execbox_server(service) as server,
            McpClient(server) as client,
        ):
            return await _together([one(client, check) for check in checks])

    async def one(client: Any, check: Check) -> Said:
        arguments = {"code": check.program, "stdin": str(check.n)}
        result = await client.call_tool("run_python", arguments)
        if result.is_error:
            text = result.content[0].text
            return Said.UNKNOWN if "unknown:" in text else Said.OTHER
        printed = result.structured_content["stdout"]
        ok = result.structured_content["status"] == "ok"
        return said_of(right=ok and printed == f"{check.wanted}\n")

    with asyncio.Runner() as runner:
        yield lambda checks: runner.run(all_of(checks))


OWN_ADAPTERS: Final = (
    Adapter(name="Client.run", unknown_as="`ExecboxError`", opened=_each(_run)),
    Adapter(name="Client.verify", unknown_as="`ExecboxError`", opened=_each(_verify)),
    Adapter(
        name="Client.batch",
        unknown_as="`error.retryable` of a result",
        opened=_batch,
        group_size=_MANY,
    ),
    Adapter(
        name="TRL, program_reward", unknown_as="`None`", opened=_trl_programs, group_size=_MANY
    ),
    Adapter(name="TRL, tests_reward", unknown_as="`None`", opened=_trl_tests, group_size=_MANY),
    Adapter(
        name="verl, compute_score",
        unknown_as="`OutcomeUnknown`",
        opened=_verl_function,
        group_size=_MANY,
    ),
    Adapter(name="Absolute Zero", unknown_as="`None`", opened=_azr),
    Adapter(
        name="smolagents",
        unknown_as="`ExecutionUnknown`",
        opened=_smolagents,
        group_size=_SESSION_CELLS,
        one_by_one=True,
        workers_max=_SESSIONS,
    ),
    Adapter(name="MCP", unknown_as="`is_error`, `unknown:` …", opened=_mcp, group_size=_MANY),
)
