"""One OpenAI-compatible endpoint as a ``Model``: sending prompts, again where that can help.

It speaks HTTP by itself, because its retries are not the service's (docs/decisions/0010).
What is asked and what becomes of the answers is in ``execbox.dataset``.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn, Self, TypeAlias

import httpx

from execbox._connections import AsyncConnections
from execbox._exchange import retry_after_s
from execbox._route import Route, route_to
from execbox._version import client_version
from execbox.config import ModelConfig
from execbox.dataset.files.json_lines import Value
from execbox.dataset.steps.model import Completion, Messages, ModelFailed, ModelUnusable
from execbox.errors import ClientMisused

__all__ = ["EndpointSeam", "ModelEndpoint", "duration_s", "pause_asked_s"]

EndpointSeam: TypeAlias = httpx.AsyncBaseTransport
"""What ``ModelEndpoint(seam=)`` takes instead of the network."""

_SETTING = "model URL (EXECBOX_MODEL_URL)"
_NO_COMPLETION = (RecursionError, ValueError, KeyError, IndexError, TypeError, AttributeError)
_ANSWER_BYTES_MAX = 16 * 1024 * 1024
_EXCERPT_CHARS = 200
_JSON = {"Content-Type": "application/json"}
_UNUSABLE_STATUSES = frozenset({401, 403, 404, 405})
_RETRYABLE_STATUSES = frozenset({408, 409, 425})
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
# Nothing left, or less than nothing: some endpoints count on.
_USED_UP = re.compile(r"0+|-\d+")


class _Retryable(Exception):
    """One attempt gave no answer and the next may."""

    def __init__(self, message: str, *, reason: str, asked_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.asked_s = asked_s


class ModelEndpoint:
    """``POST {base_url}/chat/completions``, once per prompt; an async context manager.

    ``sampling`` are further members of the request, such as ``temperature``. A 429 or a used-up
    ``x-ratelimit-remaining-*`` holds back all prompts, not only the one that met it.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        sampling: Mapping[str, object] | None = None,
        seam: EndpointSeam | None = None,
    ) -> None:
        self._config = config
        self._sampling = dict(sampling or {})
        self._seam = seam
        self._route: Route | None = None
        self._connections: AsyncConnections | None = None
        self._not_before_s = 0.0

    async def complete(self, messages: Messages) -> Completion:
        """The answer to one prompt. Raises ``ModelFailed`` after all retries, and
        ``ModelUnusable`` where no prompt will ever be answered."""
        failures: list[_Retryable] = []
        while True:
            await self._until_permitted()
            try:
                return self._completion(await self._ask(messages))
            except _Retryable as failure:
                failures.append(failure)
            await asyncio.sleep(self._pause_s(failures))

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": f"execbox/{client_version()}", "Accept": "application/json"}
        if self._config.api_key is not None:
            headers["Authorization"] = f"Bearer {self._config.api_key}"
        route, seam = route_to(self._config.base_url, setting=_SETTING), self._seam
        timeout = httpx.Timeout(
            self._config.answer_timeout_s, connect=self._config.connect_timeout_s
        )
        self._route = route
        self._connections = AsyncConnections(
            lambda: httpx.AsyncClient(
                transport=seam,
                headers=headers,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                timeout=timeout,
                trust_env=False,
                proxy=route.httpx_proxy,
                verify=route.tls,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connections is not None:
            await self._connections.aclose()

    async def _until_permitted(self) -> None:
        # Again after each pause: another prompt's answer may have prolonged it meanwhile.
        while (remaining_s := self._not_before_s - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(remaining_s)

    async def _ask(self, messages: Messages) -> httpx.Response:
        if self._connections is None:
            raise ClientMisused("a ModelEndpoint is used inside `async with`")
        http = await self._connections.http()
        body = {**self._sampling, "model": self._config.model, "messages": list(messages)}
        # ASCII, so that a lone surrogate in a prompt stays the escape it was read from.
        content = json.dumps(body, allow_nan=False).encode()
        url = self._config.base_url.rstrip("/") + "/chat/completions"
        try:
            async with asyncio.timeout(self._config.answer_timeout_s):
                response = await http.post(url, content=content, headers=_JSON)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise _Retryable(
                f"no answer within {self._config.answer_timeout_s:g} s", reason="timeout"
            ) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Retryable(
                f"{type(error).__name__}: {error}".rstrip(": ") + str(self._route),
                reason="connection",
            ) from error
        self._hold(pause_asked_s(response.headers, busy=response.status_code in (429, 503)))
        return response

    def _completion(self, response: httpx.Response) -> Completion:
        status = response.status_code
        if status != 200:
            self._refused(response)
        if len(response.content) > _ANSWER_BYTES_MAX:
            raise ModelFailed(
                f"the answer is {len(response.content)} bytes, at most {_ANSWER_BYTES_MAX} are "
                "taken; set max_tokens",
                reason="answer_too_large",
            )
        try:
            # Endpoints write NaN beside the text, keys twice, byte order marks; the text is what
            # counts, and was paid for.
            return _read(json.loads(response.content), asked_model=self._config.model)
        except _NO_COMPLETION as error:
            raise _Retryable(
                f"HTTP 200 with what is no chat completion: {_excerpt(response)}",
                reason="malformed",
            ) from error

    def _refused(self, response: httpx.Response) -> NoReturn:
        status = response.status_code
        message = f"HTTP {status}: {_excerpt(response)}"
        if status == 429:
            raise _Retryable(message, reason="rate_limited")
        if status >= 500 or status in _RETRYABLE_STATUSES:
            raise _Retryable(message, reason="server_error")
        if status in _UNUSABLE_STATUSES:
            raise ModelUnusable(
                f"{self._config.base_url} with model {self._config.model!r} answered {message}; "
                "check EXECBOX_MODEL_URL, EXECBOX_MODEL and EXECBOX_MODEL_API_KEY"
            )
        raise ModelFailed(message, reason="refused")

    def _hold(self, pause_s: float | None) -> None:
        if pause_s is None:
            return
        if pause_s > self._config.pause_max_s:
            raise ModelUnusable(
                f"{self._config.base_url} asks to be left alone for {pause_s:g} s, more than the "
                f"{self._config.pause_max_s:g} s a run waits; run the same command again then"
            )
        self._not_before_s = max(self._not_before_s, time.monotonic() + pause_s)

    def _pause_s(self, failures: list[_Retryable]) -> float:
        newest = failures[-1]
        busy = newest.reason == "rate_limited"
        same = sum((failure.reason == "rate_limited") == busy for failure in failures)
        allowed = self._config.busy_retries_max if busy else self._config.failure_retries_max
        if same > allowed:
            raise ModelFailed(
                f"no answer after {len(failures)} attempts: {newest}", reason=newest.reason
            ) from newest
        backoff_s = self._config.backoff_s * 2.0 ** min(len(failures) - 1, 30)
        return random.random() * min(backoff_s, self._config.backoff_max_s)  # noqa: S311 - jitter


def pause_asked_s(headers: Mapping[str, str], *, busy: bool) -> float | None:
    """How long the endpoint's headers ask for no further request; None where they do not.

    ``Retry-After`` (and OpenAI's ``retry-after-ms``) count on an answer that is ``busy`` (429,
    503); ``x-ratelimit-reset-requests`` and ``-tokens`` count on any whose
    ``x-ratelimit-remaining-…`` is used up.
    """
    asked: list[float | None] = []
    if busy:
        milliseconds = duration_s(headers.get("retry-after-ms"))
        asked.append(None if milliseconds is None else milliseconds / 1000)
        asked.append(retry_after_s(headers.get("retry-after"), now=datetime.now(UTC)))
    for what in ("requests", "tokens"):
        remaining = headers.get(f"x-ratelimit-remaining-{what}")
        if remaining is not None and _USED_UP.fullmatch(remaining.strip()):
            asked.append(duration_s(headers.get(f"x-ratelimit-reset-{what}")))
    return max((pause for pause in asked if pause is not None), default=None)


def duration_s(text: str | None) -> float | None:
    """Seconds in ``"1.5"``, ``"6m0s"``, ``"20ms"``, ``"1h"``; None where it is no duration."""
    text = (text or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        match = _DURATION.fullmatch(text)
        if match is None or not text:
            return None
        hours, minutes, whole, milliseconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + whole + milliseconds / 1000
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _read(body: object, *, asked_model: str) -> Completion:
    if not isinstance(body, dict):
        raise TypeError("not an object")
    choice = body["choices"][0]
    message: Value = choice["message"]
    reasoning = message.get("reasoning_content", message.get("reasoning"))
    model = body.get("model")
    return Completion(
        text=_text(message.get("content")),
        model=model if isinstance(model, str) else asked_model,
        finish_reason=str(choice.get("finish_reason") or "stop"),
        reasoning=reasoning if isinstance(reasoning, str) else None,
    )


def _text(content: object) -> str:
    if content is None:  # Some endpoints send it where all tokens went into reasoning.
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if part.get("type") == "text")
    raise TypeError("content is neither text nor parts")


def _excerpt(response: httpx.Response) -> str:
    text = response.content[: 4 * _EXCERPT_CHARS].decode("utf-8", "replace")
    return " ".join(text.split())[:_EXCERPT_CHARS] or "empty body"
