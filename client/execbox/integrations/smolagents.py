"""smolagents: ``ExecboxExecutor`` runs what a ``CodeAgent`` writes, in a session of the service.

The agent, its model and its prompts are smolagents'; what runs inside the session to receive tools
and the final answer is in ``_smolagents_cells``.
"""

from __future__ import annotations

import ast
import io
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Unpack

import PIL.Image
from smolagents.local_python_executor import CodeOutput, InterpreterError, PythonExecutor
from smolagents.serialization import SafeSerializer
from smolagents.tools import Tool, get_tools_definition_code

from execbox import wire
from execbox._session_exchanges import SessionOptions
from execbox.client import Client
from execbox.errors import ExecboxError
from execbox.integrations import _smolagents_cells as cells
from execbox.integrations._blame import is_about_the_code
from execbox.session import Session

__all__ = ["ExecboxExecutor", "ExecutionUnknown"]


class ExecutionUnknown(BaseException):
    """Code was not run to its end because of a failure that is not the code's.

    No ``Exception``: a ``CodeAgent`` takes every ``Exception`` of its executor for what the code
    did, and shows it to the model as that. So this one ends ``agent.run``, and its caller
    decides: drop the rollout, or run the agent again. ``__cause__`` is the ``ExecboxError``.
    """


class ExecboxExecutor(PythonExecutor):
    """The executor of a ``CodeAgent``: one session, begun at first use, ended by ``cleanup``.

    >>> from smolagents import CodeAgent, InferenceClientModel
    >>> from execbox.integrations.smolagents import ExecboxExecutor, ExecutionUnknown
    >>> executor = ExecboxExecutor(additional_authorized_imports=["numpy"])
    >>> with CodeAgent(tools=[], model=InferenceClientModel(), executor=executor,
    ...                additional_authorized_imports=["numpy"]) as agent:
    ...     try:
    ...         answer = agent.run("What is the 20th Fibonacci number?")
    ...     except ExecutionUnknown as unknown:
    ...         answer = None  # no verdict about the model: the service failed
    ...         print(unknown)

    ``client`` is one's own, left open; without it one is made of ``EXECBOX_URL``.
    ``additional_authorized_imports`` are allowed beside smolagents' own list, as in its local
    executor (``"numpy"``, ``"scipy.*"``); the default ``["*"]`` allows what the image has. It is
    an agreement with the model and protects nothing: the container does. Options are those of
    ``Client.session``: ``limits`` (of each cell), ``files``, ``preload``, ``idle_time_s`` …

    What the code did wrong (an exception, a limit) is an ``InterpreterError``, for the model to
    read. Everything else that keeps code from running is ``ExecutionUnknown``, among it a session
    that is gone; the next ``send_variables`` or ``send_tools``, with which a run begins, then
    begins a new one. Where a cell itself ended the session (memory), the error says so, and the
    next cell finds a new one with the tools and variables that were sent.

    ``images`` are the PNG images of the last cell, ``state["_print_outputs"]`` what it printed.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        additional_authorized_imports: Sequence[str] = ("*",),
        **options: Unpack[SessionOptions],
    ) -> None:
        self._own_client = client is None
        self._client = Client() if client is None else client
        self._imports = tuple(additional_authorized_imports)
        self._options = options
        self._session: Session | None = None
        self._tools_code = ""
        self._tool_names: list[str] = []
        self._variables: dict[str, Any] = {}
        self.state: dict[str, Any] = {"_print_outputs": ""}
        self.images: list[PIL.Image.Image] = []

    def send_tools(self, tools: Mapping[str, Tool]) -> None:
        """Define tools in the session, from their source, and receive ``final_answer`` there.

        They run inside the container: without network, with the image's packages. Raises
        ``ValueError`` for what has no source to send, such as a managed agent.
        """
        foreign = [name for name, tool in tools.items() if not isinstance(tool, Tool)]
        if foreign:
            raise ValueError(
                f"{', '.join(foreign)} cannot be called from inside a sandbox: only tools whose "
                "source can be sent are; give managed agents to an agent with a local executor"
            )
        session = self._begun()
        self._tools_code = get_tools_definition_code(dict(tools))
        self._tool_names = [tool.name for tool in tools.values()]
        self._prepare(session, self._tools_cell())

    def send_variables(self, variables: Mapping[str, Any]) -> None:
        """Set variables in the session. Raises smolagents' ``SerializationError`` for a value
        that its safe format cannot carry."""
        session, code = self._begun(), _variables_cell(variables)
        self._variables |= variables
        if variables:
            self._prepare(session, code)

    def __call__(self, code_action: str) -> CodeOutput:
        """Run one cell. Raises ``InterpreterError`` or ``ExecutionUnknown``."""
        session = self._begun()
        self.state["_print_outputs"] = ""
        self.images = []
        answered = self._run(session, code_action)
        logs = answered.stdout + answered.stderr
        self.state["_print_outputs"] = logs
        if answered.error is not None and answered.error.type == cells.ANSWER_TYPE:
            answer = self._run(session, cells.ANSWER_NAME)
            if answer.status is wire.Status.OK:
                return CodeOutput(self._output(answer.value), logs, is_final_answer=True)
        if answered.session_lost:
            self._give_up()
        if answered.status is not wire.Status.OK:
            raise InterpreterError(_complaint(answered))
        return CodeOutput(self._output(answered.value), logs, is_final_answer=False)

    def cleanup(self) -> None:
        """End the session; called by the agent's ``cleanup`` and at the end of its ``with``. One
        that cannot be ended ends by itself when it has been idle: what the agent has found out
        meanwhile is known all the same."""
        try:
            self._give_up()
        finally:
            if self._own_client:
                self._client.close()

    def _begun(self) -> Session:
        """The session, with what was sent so far where a new one has to be begun."""
        if self._session is not None:
            return self._session
        session = self._client.session(**self._options)
        given = [cells.imports_cell(self._imports)]
        given += [_variables_cell(self._variables)] if self._variables else []
        given += [self._tools_cell()] if self._tools_code else []
        try:
            session.__enter__()
            self._session = session
            for code in filter(None, given):
                self._prepare(session, code)
        except (ExecboxError, ValueError) as error:
            # Half prepared, it would lack tools or variables without anybody's knowing.
            self._give_up()
            raise ExecutionUnknown(f"no session could be begun: {error}") from error
        return session

    def _tools_cell(self) -> str:
        return cells.tools_cell(self._tools_code, names=self._tool_names)

    def _prepare(self, session: Session, code: str) -> None:
        """Run a cell of ours: where it fails, what it was made of was the caller's."""
        answered = self._run(session, code)
        if answered.session_lost:
            self._give_up()
        if answered.status is not wire.Status.OK:
            raise ValueError(f"the session cannot be prepared: {_complaint(answered)}")

    def _run(self, session: Session, code: str) -> wire.CellResponse:
        try:
            return session.run(code)
        except ExecboxError as error:
            if is_about_the_code(error):
                raise InterpreterError(f"This code cannot be run: {error}") from error
            self._give_up()
            raise ExecutionUnknown(f"the code's outcome is not known: {error}") from error

    def _give_up(self) -> None:
        """End a session that is over, or whose last cell has an unknown outcome: the service would
        hold the session, and count it, until it had been idle for long."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(ExecboxError):
                session.close()

    def _output(self, value: wire.CellValue | None) -> Any:
        """A cell's value as Python has it where it can be carried, else an image, else its repr."""
        if value is None:
            return None
        self.images = [
            PIL.Image.open(io.BytesIO(b64decode(each.base64)), formats=["PNG"])
            for each in value.media
        ]
        if value.repr is not None:
            try:
                return ast.literal_eval(value.repr)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                # No literal, or too long a one: the JSON is whole.
                if value.json_value is not None:
                    return value.json_value
        return self.images[0] if self.images else value.repr


def _variables_cell(variables: Mapping[str, Any]) -> str:
    text = SafeSerializer.dumps(dict(variables))
    reader = SafeSerializer.get_deserializer_code(allow_pickle=False)
    return cells.variables_cell(text, reader=reader)


def _complaint(cell: wire.CellResponse) -> str:
    """What a model is told of a cell that did not end well."""
    limit = f" ({cell.limit})" if cell.limit else ""
    said = f"Code execution ended with {cell.status}{limit}"
    if cell.error is not None:
        said += f": {cell.error.traceback or ''}\n{cell.error.type}: {cell.error.message}"
    if cell.session_lost:
        said += f"\nAll variables are lost: {cell.lost_reason or 'the interpreter ended'}"
    return said
