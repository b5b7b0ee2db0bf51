"""Asking the service for verdicts: what about, with which options, and what an answer is worth.

The steps that do so are ``verify`` and ``leetcode_o``; comparing, extracting and the feedback's
wording are the service's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

from execbox import wire
from execbox.dataset.files.records import BadRecord, DatasetError
from execbox.errors import RequestError

__all__ = [
    "Verifier",
    "VerifyOptions",
    "fastest_isolation",
    "options_for",
    "sendable",
    "settings_of",
    "verdicts_of",
]


_WRONG_OUTPUT = (
    "Your output is not correct. On the given input the function does not return $prediction."
)


class Verifier(Protocol):
    """Checks predictions; opened around its use, called by several tasks at once."""

    async def verify(
        self,
        items: Sequence[wire.VerifyItem],
        *,
        isolation: wire.Isolation | None = None,
        convert: wire.Conversion | None = None,
        feedback_templates: wire.FeedbackTemplates | None = None,
    ) -> wire.VerifyResponse:
        """One entry per item, in their order. Raises ``RequestError`` for unacceptable items."""

    async def capabilities(self) -> wire.Capabilities:
        """What the service permits."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How answers are checked and how many at once.

    ``prelude`` and ``convert`` are for records that do not name their own.
    ``feedback_templates`` replaces wording of the feedback. Unless ``reveal_expected``, what is
    said of a wrong output does not give the right one away: the next turn would copy it
    (docs/decisions/0012). ``chunk_count`` items go into one request, ``concurrency`` requests are
    under way. ``isolation`` and ``concurrency`` None take the fastest the service permits and as
    many as keep all of its slots busy.
    """

    comparator: wire.Comparator = "codeio"
    tolerance: wire.Tolerance | None = None
    limits: wire.Limits = field(default_factory=wire.Limits)
    isolation: wire.Isolation | None = None
    prelude: wire.Prelude = "codeio"
    convert: wire.Conversion = "none"
    feedback_templates: wire.FeedbackTemplates | None = None
    reveal_expected: bool = False
    chunk_count: int = 16
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("chunk_count", "concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DatasetError(f"{name} must be 1 or more, not {value}")
        if (self.tolerance is None) == (self.comparator == "tolerance"):
            raise DatasetError("a tolerance is given with the comparator tolerance, and only then")

    @property
    def wording(self) -> wire.FeedbackTemplates:
        """The templates sent: the caller's, and ours where the service's would tell too much."""
        given = self.feedback_templates or wire.FeedbackTemplates()
        if self.reveal_expected or given.wrong_output is not None:
            return given
        return given.model_copy(update={"wrong_output": _WRONG_OUTPUT})


async def options_for(verifier: Verifier, options: VerifyOptions) -> VerifyOptions:
    """Options with isolation and concurrency decided by what the service says it can do."""
    if options.isolation is not None and options.concurrency is not None:
        return options
    service = await verifier.capabilities()
    return replace(
        options,
        isolation=options.isolation or fastest_isolation(service),
        # One more than there are slots, so that none is idle while an answer is read.
        concurrency=options.concurrency or service.concurrency + 1,
    )


def fastest_isolation(service: wire.Capabilities) -> wire.Isolation:
    """The level that costs least, of those the service permits."""
    return "process" if "process" in service.isolation else service.isolation[0]


def sendable(response: str) -> str:
    """A model's text without lone surrogates, which no request can carry and no answer needs."""
    return response.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


async def verdicts_of(
    items: Sequence[wire.VerifyItem | BadRecord],
    verifier: Verifier,
    options: VerifyOptions,
    *,
    converts: Sequence[wire.Conversion] | None = None,
) -> Sequence[wire.VerifiedItem | BadRecord]:
    """One answer per item, in their order; what is a problem already stays one.

    ``converts`` says how each item's values without a JSON form are written, else the options do.
    ``verdict`` is never None in what is returned: an answer that could not be checked is a
    ``BadRecord`` to be tried again.
    """
    answers: list[wire.VerifiedItem | BadRecord | None] = [None] * len(items)
    groups: defaultdict[wire.Conversion, list[tuple[int, wire.VerifyItem]]] = defaultdict(list)
    for place, item in enumerate(items):
        if isinstance(item, BadRecord):
            answers[place] = item
        else:
            groups[options.convert if converts is None else converts[place]].append((place, item))
    for convert, group in groups.items():
        request = _Request(verifier, options, convert)
        found = await request.answers([item for _, item in group])
        for (place, _), answer in zip(group, found, strict=True):
            answers[place] = _with_verdict(answer)
    return [answer for answer in answers if answer is not None]


@dataclass(frozen=True, slots=True)
class _Request:
    """What requests about one group of items have in common."""

    verifier: Verifier
    options: VerifyOptions
    convert: wire.Conversion

    async def answers(
        self, items: Sequence[wire.VerifyItem]
    ) -> Sequence[wire.VerifiedItem | BadRecord]:
        """Where a request is refused, its halves are sent by themselves, so that only what is
        refused alone counts as refused."""
        try:
            response = await self.verifier.verify(
                items,
                isolation=self.options.isolation,
                convert=self.convert,
                feedback_templates=self.options.wording,
            )
        except RequestError as error:
            # Where the key is refused, every record would be; that ends the run.
            if error.http_status in (401, 403):
                raise
            if len(items) == 1:
                return [BadRecord(error.message, reason=error.code)]
            middle = len(items) // 2
            return [*await self.answers(items[:middle]), *await self.answers(items[middle:])]
        return response.items


def _with_verdict(answer: wire.VerifiedItem | BadRecord) -> wire.VerifiedItem | BadRecord:
    if isinstance(answer, BadRecord):
        return answer
    if answer.verdict is None:
        error = answer.error
        return BadRecord(
            "no verdict, this is no fault of the answer: "
            + (error.message if error is not None else "the service gave no reason"),
            reason=error.code if error is not None else "no_verdict",
            retry=True,
        )
    if answer.verdict is wire.Verdict.NOT_RUN:
        return BadRecord(
            "the job's time was over before this answer's turn", reason="not_run", retry=True
        )
    return answer


def settings_of(options: VerifyOptions) -> Mapping[str, object]:
    """What verdicts and feedback depend on, for a run's settings."""
    return {
        "comparator": options.comparator,
        "tolerance": options.tolerance and options.tolerance.model_dump(),
        "limits": options.limits.model_dump(),
        "prelude": options.prelude,
        "convert": options.convert,
        "feedback_templates": options.wording.model_dump(),
    }
