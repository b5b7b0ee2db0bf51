"""What a model is to the steps: messages in, one answer out. Talking to one over HTTP is elsewhere.

Any Python callable can be a model (``CallableModel``); ``execbox._model_endpoint`` is the one for
OpenAI-compatible endpoints.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from execbox.dataset.files.json_lines import Value
from execbox.errors import ExecboxError

__all__ = [
    "CallableModel",
    "Completion",
    "Messages",
    "Model",
    "ModelFailed",
    "ModelUnusable",
]

Messages: TypeAlias = Sequence[Value]
"""Chat messages, each with ``role`` and ``content``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer. ``finish_reason`` is the model's word for why it ended: stop, length, ..."""

    text: str
    model: str
    finish_reason: str = "stop"
    reasoning: str | None = None


class ModelFailed(ExecboxError):
    """No answer to one prompt, after all retries; ``reason`` is counted."""

    def __init__(self, message: str, *, reason: str = "model_failed") -> None:
        super().__init__(message)
        self.reason = reason


class ModelUnusable(ExecboxError):
    """No prompt can be answered: wrong key, wrong model name, or nothing but failures."""


class Model(Protocol):
    """Answers prompts; used by many tasks of one event loop at once, opened around its use."""

    async def complete(self, messages: Messages) -> Completion:
        """One answer. Raises ``ModelFailed`` or ``ModelUnusable``."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class CallableModel:
    """A model made of a function from messages to text; a plain function runs in a thread."""

    def __init__(
        self, function: Callable[[Messages], str | Awaitable[str]], *, name: str = "callable"
    ) -> None:
        self._function = function
        self._name = name

    async def complete(self, messages: Messages) -> Completion:
        """Its text. What it raises is this prompt's failure, not the run's."""
        try:
            if inspect.iscoroutinefunction(self._function):
                text = await self._function(messages)
            else:
                text = await asyncio.to_thread(self._function, messages)
        except Exception as error:  # A stranger's function may raise anything.
            raise ModelFailed(
                f"the model callable raised {type(error).__name__}: {error}", reason="callable"
            ) from error
        if not isinstance(text, str):
            raise ModelUnusable(
                f"the model callable returned a {type(text).__name__}; it must return text"
            )
        return Completion(text=text, model=self._name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
