"""The results of ``attacks.py`` as Markdown. Text only: nothing is run or judged here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.report import table

from acceptance import attack_checks as checks

_MADE_BY = (
    "Made by the command below. It starts a service and sends it, over HTTP, every attack program "
    "there is: ours (`harness/attacks`) and those of `../shared/attacks`, at both "
    "isolation levels, in random order, one after another."
)
_CONDITIONS = f"""After each attack these hold, as `../shared/attacks/README.md` numbers them:

| | what was checked |
|---|---|
| P1 | every status is one of those expected, with the expected output where it is `ok`; the \
answer came within the wall limit and {checks.ANSWER_MARGIN_S:g} s, not counting the wait for a \
slot or a core |
| P2 | canaries sent by another key all the while, and one sent after it by the same key at the \
same level, are `ok` and right, and take no more than {checks.CANARY_FACTOR:g} times (and \
{checks.CANARY_SLACK_S * 1e3:g} ms) what they take around an honest job |
| P3 | seen from the host: no process or zombie of any job in any container of the service; \
supervisors that were there before have their pid and no more descriptors |
| P4 | seen from the host: no byte and no inode used in any writable file system of any container, \
no System V object, no message queue |
| P5 | containers as many as the pool keeps; the service's descriptors within \
{checks.DESCRIPTOR_SLACK}, threads within {checks.THREAD_SLACK} and memory within \
{checks.MEMORY_SLACK_MB:g} MiB of what they were before the first attack |
| P6 | the answer is UTF-8 JSON, its streams within their cap, its error short and without paths \
or frames of ours, and no API key is in it |
| P7 | usage is there, within what is possible from outside, and beyond the limit where one was \
reached |

Times are a matter of the machine's load: where nothing but a time was exceeded, the attack was \
sent again, {{tries}} times at most. The last column says how often it was sent.
"""


@dataclass(frozen=True)
class Row:
    """One attack at one level."""

    id: str
    group: str
    title: str
    isolation: str
    statuses: tuple[str, ...]
    faults: tuple[str, ...]
    tries: int


@dataclass(frozen=True)
class Circumstances:
    """Where and how a run was made."""

    command: str
    date: str
    machine: str
    engine: str
    took_s: float
    tries_max: int


def render(rows: Sequence[Row], about: Circumstances) -> str:
    """The whole page; rows in order of their ids, faults in full below the tables."""
    failed = [row for row in rows if row.faults]
    lines = [
        "# Results of the attack programs",
        "",
        _MADE_BY,
        "",
        f"```\n{about.command}\n```",
        "",
        f"{about.date}, {about.took_s / 60:.0f} minutes, {about.machine}, {about.engine}.",
        "",
        _summary(rows),
        "",
        _CONDITIONS.format(tries=about.tries_max),
    ]
    for group in dict.fromkeys(row.group for row in rows):
        of_group = [row for row in rows if row.group == group]
        lines += [f"## {group.capitalize()}", "", _table(of_group), ""]
    if failed:
        lines += ["## What failed", ""]
        lines += [
            f"- {row.id} ({row.isolation}): {fault}".replace("\n", " ")
            for row in failed
            for fault in row.faults
        ]
        lines.append("")
    return "\n".join(lines)


def _summary(rows: Sequence[Row]) -> str:
    passed_count = sum(not row.faults for row in rows)
    statuses = Counter(status for row in rows for status in row.statuses)
    return (
        f"**{passed_count} of {len(rows)} passed**, all post-conditions included: "
        f"{len({row.id for row in rows})} programs at {len({r.isolation for r in rows})} levels. "
        f"Statuses: {', '.join(f'{name} {count}' for name, count in statuses.most_common())}."
    )


def _table(rows: Sequence[Row]) -> str:
    head = ["id", "attack", "level", "status", "P1 to P7", "sent"]
    return table(
        head,
        [
            [
                row.id,
                row.title,
                row.isolation,
                ", ".join(dict.fromkeys(row.statuses)),
                "; ".join(sorted({fault.split(":")[0] for fault in row.faults})) or "hold",
                str(row.tries),
            ]
            for row in rows
        ],
        align="lllllr",
    )
