from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from execbox._model_endpoint import ModelEndpoint, duration_s, pause_asked_s
from execbox.config import ModelConfig, model_config_from_env
from execbox.dataset.steps.model import (
    CallableModel,
    Completion,
    Messages,
    ModelFailed,
    ModelUnusable,
)
from execbox.errors import ConfigError
from tests.dataset.model_server import ModelServer, Reply, model_server

PROMPT: list[dict[str, Any]] = [{"role": "user", "content": "twice 3?"}]


def config(server: ModelServer, **changes: Any) -> ModelConfig:
    """Patient enough for a test, and never slow."""
    quick = ModelConfig(
        base_url=server.url, model="m", backoff_s=0.01, backoff_max_s=0.02, answer_timeout_s=5
    )
    return replace(quick, **changes)


def ask(settings: ModelConfig, *, times: int = 1, **options: Any) -> list[Completion]:
    """The answers to ``times`` prompts asked at once."""

    async def run() -> list[Completion]:
        async with ModelEndpoint(settings, **options) as endpoint:
            return await asyncio.gather(*(endpoint.complete(PROMPT) for _ in range(times)))

    return asyncio.run(run())


@pytest.fixture
def replies() -> list[Reply]:
    """What the server answers, in this order; the last one for ever."""
    return []


@pytest.fixture
def server(replies: list[Reply]) -> Iterator[ModelServer]:
    with model_server(lambda _, before: replies[min(before, len(replies) - 1)]) as state:
        yield state


def test_answer_is_read_and_the_request_is_what_was_configured(
    server: ModelServer, replies: list[Reply]
) -> None:
    """One request, with the key in its header and the sampling in its body."""
    replies.append(Reply("six", finish_reason="length"))
    (answer,) = ask(config(server, api_key="k1"), sampling={"temperature": 0.5})
    assert answer == Completion(text="six", model="scripted-1", finish_reason="length")
    assert server.requests == [{"temperature": 0.5, "model": "m", "messages": PROMPT}]
    assert server.headers[0]["Authorization"] == "Bearer k1"


@pytest.mark.parametrize(
    "failure",
    [
        Reply(status=500),
        Reply(status=502, body=b"<html>bad gateway</html>"),
        Reply(status=429),
        Reply(status=408),
        Reply(body=b"not json"),
        Reply(body=b'{"choices": []}'),
        Reply(body=b'{"choices": [{"message": {"content": 5}}]}'),
        Reply(body=b"[1]"),
        Reply(body=b'{"choices": [{"message": null}]}'),
        Reply(body=b'{"choices": [{"message": {"content": ["x"]}}]}'),
    ],
    ids=lambda reply: f"{reply.status} {reply.body!r}",
)
def test_passing_failure_is_tried_again(
    server: ModelServer, replies: list[Reply], failure: Reply
) -> None:
    """Whatever may be better next time is asked again, and the answer counts."""
    replies.extend([failure, failure, Reply("six")])
    assert [answer.text for answer in ask(config(server))] == ["six"]
    assert len(server.requests) == 3


_MESSAGE = b'"choices": [{"message": {"content": "six"}}]'


@pytest.mark.parametrize(
    "body",
    [
        b'{"logprobs": [NaN, -Infinity], ' + _MESSAGE + b"}",
        b'{"id": 1, "id": 2, ' + _MESSAGE + b"}",
        b"\xef\xbb\xbf{" + _MESSAGE + b"}",
        b'{"far": 1e999, ' + _MESSAGE + b"}",
    ],
    ids=["nan", "key_twice", "byte_order_mark", "beyond_a_double"],
)
def test_completion_that_is_not_strict_json_is_taken_at_once(
    server: ModelServer, replies: list[Reply], body: bytes
) -> None:
    """The text was paid for, and what is wrong stands in members that nobody reads."""
    replies.append(Reply(body=body))
    assert [answer.text for answer in ask(config(server))] == ["six"]
    assert len(server.requests) == 1


def test_completion_that_nests_without_end_is_malformed(
    server: ModelServer, replies: list[Reply]
) -> None:
    """It ends as any other answer that cannot be read, not in a RecursionError."""
    replies.append(Reply(body=b'{"choices": ' + b"[" * 200_000))
    with pytest.raises(ModelFailed, match="no chat completion"):
        ask(config(server, failure_retries_max=1))


@pytest.mark.parametrize(
    ("reply", "reason", "requests"),
    [
        (Reply(status=500, body=b"on fire"), "server_error", 3),
        (Reply(status=429), "rate_limited", 4),
        (Reply(body=b"{}"), "malformed", 3),
        (Reply(status=400, body=b"context too long"), "refused", 1),
        (Reply(status=422), "refused", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_lasting_failure_is_one_error_with_its_reason(
    server: ModelServer, replies: list[Reply], reply: Reply, reason: str, requests: int
) -> None:
    """Retries end, and what the endpoint said is repeated."""
    replies.append(reply)
    with pytest.raises(ModelFailed) as caught:
        ask(config(server, failure_retries_max=2, busy_retries_max=3))
    assert caught.value.reason == reason
    assert len(server.requests) == requests
    if reply.status >= 400 and reply.body:
        assert reply.body.decode() in caught.value.message


@pytest.mark.parametrize("status", [401, 403, 404])
def test_wrong_key_or_model_ends_everything_at_once(
    server: ModelServer, replies: list[Reply], status: int
) -> None:
    """Asking a hundred thousand prompts with a wrong key helps nobody."""
    replies.append(Reply(status=status, body=b"no such model"))
    with pytest.raises(ModelUnusable, match="EXECBOX_MODEL_API_KEY"):
        ask(config(server))
    assert len(server.requests) == 1


def test_endpoint_that_is_not_there_is_a_connection_failure() -> None:
    """Nothing listens: retried, then told."""
    dead = ModelConfig(
        base_url="http://127.0.0.1:9/v1", model="m", backoff_s=0.001, failure_retries_max=1
    )
    with pytest.raises(ModelFailed) as caught:
        ask(dead)
    assert caught.value.reason == "connection"


def test_url_that_cannot_be_sent_to_is_a_mistake_of_the_setting() -> None:
    """Told before the first prompt, with the variable's name."""
    with pytest.raises(ConfigError, match="EXECBOX_MODEL_URL"):
        ask(ModelConfig(base_url="http://a_\x80b/v1", model="m"))


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:9", "http://a_\x80b:9"])
def test_proxy_that_cannot_be_used_is_a_mistake_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """The model's URL is not to blame, and nobody is told of a bug."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTP_PROXY"):
        ask(ModelConfig(base_url="http://192.0.2.1/v1", model="m"))


def test_slow_answer_is_given_up_after_the_timeout(
    server: ModelServer, replies: list[Reply]
) -> None:
    """The whole answer has a limit, not only the pause between bytes; the next is waited for."""
    replies.extend([Reply("late", delay_s=1.0), Reply("six")])
    assert [answer.text for answer in ask(config(server, answer_timeout_s=0.2))] == ["six"]


def test_retry_after_holds_back_every_prompt(server: ModelServer, replies: list[Reply]) -> None:
    """One 429 is a message to all of them, not to the one that met it."""
    replies.extend([Reply(status=429, headers={"Retry-After": "0.4"}), Reply("six")])

    async def run() -> None:
        async with ModelEndpoint(config(server)) as endpoint:
            first = asyncio.create_task(endpoint.complete(PROMPT))
            await asyncio.sleep(0.15)
            await asyncio.gather(first, *(endpoint.complete(PROMPT) for _ in range(3)))

    asyncio.run(run())
    assert len(server.moments_s) == 5
    assert min(server.moments_s[1:]) - server.moments_s[0] >= 0.4


def test_used_up_rate_limit_is_waited_for_without_an_error(
    server: ModelServer, replies: list[Reply]
) -> None:
    """x-ratelimit headers of a good answer are obeyed before the limit is hit."""
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "300ms"}
    replies.append(Reply("six", headers=headers))

    async def run() -> None:
        async with ModelEndpoint(config(server)) as endpoint:
            await endpoint.complete(PROMPT)
            await endpoint.complete(PROMPT)

    asyncio.run(run())
    assert server.moments_s[1] - server.moments_s[0] >= 0.3


def test_endpoint_that_asks_for_a_day_ends_the_run(
    server: ModelServer, replies: list[Reply]
) -> None:
    """A quota that is used up is told, instead of being waited for."""
    replies.append(Reply(status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(ModelUnusable, match="86400 s"):
        ask(config(server))


def test_answer_without_content_is_an_empty_answer(
    server: ModelServer, replies: list[Reply]
) -> None:
    """Some endpoints send null where every token went into reasoning."""
    replies.append(Reply(None))
    assert [answer.text for answer in ask(config(server))] == [""]


def test_content_in_parts_and_reasoning_are_read(server: ModelServer, replies: list[Reply]) -> None:
    """What OpenAI-compatible endpoints write in their own ways."""
    body = (
        b'{"choices": [{"message": {"content": [{"type": "text", "text": "s"}, '
        b'{"type": "text", "text": "ix"}], "reasoning_content": "3 + 3"}}]}'
    )
    replies.append(Reply(body=body))
    (answer,) = ask(config(server))
    assert (answer.text, answer.reasoning, answer.model) == ("six", "3 + 3", "m")


def test_lone_surrogate_in_a_prompt_is_sent_as_its_escape(
    server: ModelServer, replies: list[Reply]
) -> None:
    """A prompt made of odd data is no error of ours."""
    replies.append(Reply("six"))

    async def run() -> None:
        async with ModelEndpoint(config(server)) as endpoint:
            await endpoint.complete([{"role": "user", "content": "\ud800"}])

    asyncio.run(run())
    assert server.requests[0]["messages"][0]["content"] == "\ud800"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1.0),
        ("1.5", 1.5),
        ("1s", 1.0),
        ("20ms", 0.02),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("2m59.56s", 179.56),
        ("1m", 60.0),
        ("7.66ms", 0.00766),
        ("", None),
        (None, None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_durations_of_rate_limit_headers_are_read(text: str | None, seconds: float | None) -> None:
    """The forms that endpoints use, and nothing else."""
    found = duration_s(text)
    assert found == seconds if seconds is None else found == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "busy", "pause"),
    [
        ({}, True, None),
        ({"retry-after": "3"}, True, 3.0),
        ({"retry-after": "3"}, False, None),
        ({"retry-after-ms": "250"}, True, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, True, 1.0),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "9s"}, False, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}, False, 9.0),
        ({"x-ratelimit-remaining-tokens": "-5", "x-ratelimit-reset-tokens": "2m"}, False, 120.0),
        ({"x-ratelimit-remaining-tokens": "few", "x-ratelimit-reset-tokens": "2m"}, False, None),
    ],
)
def test_pause_asked_for_is_the_longest_that_counts(
    headers: dict[str, str], busy: bool, pause: float | None
) -> None:
    """Retry-After on a refusal, rate limits once they are used up."""
    assert pause_asked_s(headers, busy=busy) == pause


def test_retry_after_may_be_a_date() -> None:
    """As RFC 9110 has it."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    pause = pause_asked_s({"retry-after": moment}, busy=True)
    assert pause is not None
    assert 25 < pause <= 30


def test_configuration_comes_from_the_environment_and_the_key_from_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program's key is never sent to our endpoint."""
    monkeypatch.setenv("OPENAI_API_KEY", "not ours")
    with pytest.raises(ConfigError, match="EXECBOX_MODEL_URL"):
        model_config_from_env()
    monkeypatch.setenv("EXECBOX_MODEL_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(ConfigError, match="EXECBOX_MODEL"):
        model_config_from_env()
    monkeypatch.setenv("EXECBOX_MODEL", "m")
    assert model_config_from_env().api_key is None
    monkeypatch.setenv("EXECBOX_MODEL_API_KEY", "ours")
    found = model_config_from_env(model="other")
    assert (found.model, found.api_key) == ("other", "ours")
    assert "ours" not in repr(found)


def shout(messages: Messages) -> str:
    return str(messages[-1]["content"]).upper()


async def shout_async(messages: Messages) -> str:
    return shout(messages)


@pytest.mark.parametrize("function", [shout, shout_async])
def test_python_function_is_a_model(function: Any) -> None:
    """Plain or async, it answers prompts."""
    answer = asyncio.run(CallableModel(function, name="shout").complete(PROMPT))
    assert answer == Completion(text="TWICE 3?", model="shout")


def test_python_function_that_raises_costs_its_prompt_only() -> None:
    """The run goes on, the reason is kept."""

    def broken(messages: Sequence[Any]) -> str:
        raise KeyError(messages[0]["role"])

    with pytest.raises(ModelFailed, match="KeyError: 'user'"):
        asyncio.run(CallableModel(broken).complete(PROMPT))


def test_python_function_that_returns_no_text_is_no_model() -> None:
    """A mistake in the function is told at the first prompt."""
    with pytest.raises(ModelUnusable, match="returned a int"):
        asyncio.run(CallableModel(lambda _: 5).complete(PROMPT))  # type: ignore[arg-type, return-value]
