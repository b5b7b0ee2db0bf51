"""Asking the service for verdicts: what about, with which options, and what an answer is worth.

The steps that do so are ``verify`` and ``leetcode_o``; comparing, extracting and the feedback's
wording are the service's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, DatasetError
from execbox.dataset.steps.patience import REFUSED_KEY, Patience, refusal
from execbox.dataset.steps.run_options import fastest_isolation
from execbox.dataset.steps.services import VerifyService
from execbox.errors import ExecboxError, RequestError

__all__ = [
    "VerifyOptions",
    "options_for",
    "sendable",
    "settings_of",
    "verdicts_of",
]

_WRONG_OUTPUT = (
    "Your output is not correct. On the given input the function does not return $prediction."
)


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
    extraction: wire.Extraction = "tolerant"
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


async def options_for(service: VerifyService, options: VerifyOptions) -> VerifyOptions:
    """Options with isolation and concurrency decided by what the service says it can do."""
    if options.isolation is not None and options.concurrency is not None:
        return options
    permitted = await service.capabilities()
    return replace(
        options,
        isolation=options.isolation or fastest_isolation(permitted),
        # One more than there are slots, so that none is idle while an answer is read.
        concurrency=options.concurrency or permitted.concurrency + 1,
    )


def sendable(response: str) -> str:
    """A model's text without lone surrogates, which no request can carry and no answer needs."""
    return response.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


async def verdicts_of(
    items: Sequence[wire.VerifyItem | BadRecord],
    service: VerifyService,
    options: VerifyOptions,
    *,
    patience: Patience,
    converts: Sequence[wire.Conversion] | None = None,
) -> Sequence[wire.VerifiedItem | BadRecord]:
    """One verified item per item, in their order; what is a problem already stays one.

    ``converts`` says how each item's values without a JSON form are written, else the options do.
    ``verdict`` is never None in what is returned: an item that could not be checked is a
    ``BadRecord``, to be tried again where that can help. Raises what ``patience`` raises, which
    counts each request once.
    """
    verified: list[wire.VerifiedItem | BadRecord | None] = [None] * len(items)
    groups: defaultdict[wire.Conversion, list[tuple[int, wire.VerifyItem]]] = defaultdict(list)
    for place, item in enumerate(items):
        if isinstance(item, BadRecord):
            verified[place] = item
        else:
            groups[options.convert if converts is None else converts[place]].append((place, item))
    for convert, group in groups.items():
        request = _Request(service, options, convert, patience)
        found = await request.verified([item for _, item in group])
        for (place, _), one in zip(group, found, strict=True):
            verified[place] = _with_verdict(one)
    return [one for one in verified if one is not None]


@dataclass(frozen=True, slots=True)
class _Request:
    """What requests about one group of items have in common."""

    service: VerifyService
    options: VerifyOptions
    convert: wire.Conversion
    patience: Patience

    async def verified(
        self, items: Sequence[wire.VerifyItem]
    ) -> Sequence[wire.VerifiedItem | BadRecord]:
        """Where a request is refused, its halves are sent by themselves, so that only what is
        refused alone counts as refused. That is no failure: who refuses it has answered."""
        try:
            response = await self.service.verify(
                items,
                isolation=self.options.isolation,
                convert=self.convert,
                feedback_templates=self.options.wording,
            )
        except RequestError as error:
            # Where the key is refused, every record would be; that ends the run.
            if error.http_status in REFUSED_KEY:
                raise
            if len(items) == 1:
                return [refusal(error)]
            middle = len(items) // 2
            return [*await self.verified(items[:middle]), *await self.verified(items[middle:])]
        except ExecboxError as error:
            return [self.patience.problem_of(error)] * len(items)
        self.patience.answered()
        return await self._with_room(items, response.items)

    async def _with_room(
        self, items: Sequence[wire.VerifyItem], verified: Sequence[wire.VerifiedItem]
    ) -> Sequence[wire.VerifiedItem | BadRecord]:
        """What there was no room for in an answer to several is asked about by itself."""
        if len(items) == 1:
            return verified
        found: list[wire.VerifiedItem | BadRecord] = []
        for item, one in zip(items, verified, strict=True):
            code = None if one.error is None else one.error.code
            lacked_room = code == wire.ErrorCode.ANSWER_TOO_LARGE
            found += await self.verified([item]) if lacked_room else [one]
        return found


def _with_verdict(item: wire.VerifiedItem | BadRecord) -> wire.VerifiedItem | BadRecord:
    if isinstance(item, BadRecord):
        return item
    if item.verdict is None:
        error = item.error
        return BadRecord(
            "no verdict, this is no fault of the answer: "
            + (error.message if error is not None else "the service gave no reason"),
            reason=error.code if error is not None else "no_verdict",
            retry=error is None or error.retryable,
        )
    if item.verdict is wire.Verdict.NOT_RUN:
        return BadRecord(
            "the job's time was over before this answer's turn", reason="not_run", retry=True
        )
    return item


def settings_of(options: VerifyOptions) -> Mapping[str, object]:
    """What verdicts and feedback depend on, for a run's settings."""
    # Left out where it is the default, so that runs begun before it was a choice go on.
    strict = {} if options.extraction == "tolerant" else {"extraction": options.extraction}
    return strict | {
        "comparator": options.comparator,
        "tolerance": options.tolerance and options.tolerance.model_dump(),
        "limits": options.limits.model_dump(),
        "prelude": options.prelude,
        "convert": options.convert,
        "feedback_templates": options.wording.model_dump(),
    }
