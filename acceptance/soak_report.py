"""What came of a soak: counted while it runs, judged at its end, told. Nothing is sent here."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.trend import RULE, Trend

from acceptance.attack_targets import Came
from acceptance.soak_meters import GAUGES, Sample, trends_of

_WARM_UP_PART, _WARM_UP_MAX_S = 0.1, 300.0
_KEPT_MAX = 200
_SHOWN_CHARS = 500


@dataclass
class Tally:
    """What was run, by name, level and status, and everything unexpected with its id."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused_count: int = 0
    unexpected_count: int = 0
    unexpected: list[dict[str, Any]] = field(default_factory=list)

    def add(self, came: Came) -> None:
        self.counts[came.name, came.isolation, came.status] += 1
        if came.fault is not None:
            self.unexpected_count += 1
            if len(self.unexpected) < _KEPT_MAX:
                when = datetime.now(UTC).isoformat(timespec="seconds")
                self.unexpected.append({"when": when} | asdict(came))
            shown = came.answer[:_SHOWN_CHARS]
            print(f"UNEXPECTED {came.name} [{came.isolation}]: {came.fault}: {shown}", flush=True)


@dataclass(frozen=True)
class About:
    """How a run was made."""

    command: str
    date: str
    seed: int
    duration_s: float
    attack_count: int
    """How many programs there were to choose from."""
    judges_shared: bool
    """Whether growth of what others on the machine move too counts."""


@dataclass(frozen=True)
class SoakReport:
    """What is written down of a run."""

    about: About
    rule: str
    answers: dict[str, dict[str, dict[str, int]]]
    """By name, level and status."""
    statuses: dict[str, int]
    refused_count: int
    unexpected_count: int
    unexpected: list[dict[str, Any]]
    residue: list[str]
    warm_up_s: float
    trends: dict[str, Trend]
    quiet_trends: dict[str, Trend]
    grows: list[str]
    """What grows and is this service's alone to move."""
    grows_shared: list[str]
    """What grows and others on the machine move too."""
    loaded: list[Sample]
    quiet: list[Sample]

    @property
    def good(self) -> bool:
        """Nothing was wrong, left, or growing."""
        grown = self.grows + (self.grows_shared if self.about.judges_shared else [])
        return not (self.unexpected_count or self.residue or grown)


def report_of(
    tally: Tally,
    loaded: list[Sample],
    quiet: list[Sample],
    *,
    residue: list[str],
    about: About,
) -> SoakReport:
    """Judge a run that has ended."""
    warm_up_s = min(_WARM_UP_MAX_S, about.duration_s * _WARM_UP_PART)
    trends = trends_of([each for each in loaded if each.at_s >= warm_up_s], quiet=False)
    quiet_trends = trends_of([each for each in quiet if each.at_s >= warm_up_s], quiet=True)
    grown = [name for name, trend in trends.items() if trend.grows]
    grown += [f"{name} (quiet)" for name, trend in quiet_trends.items() if trend.grows]
    answers: dict[str, dict[str, dict[str, int]]] = {}
    statuses: Counter[str] = Counter()
    for (name, isolation, status), count in sorted(tally.counts.items()):
        answers.setdefault(name, {}).setdefault(isolation, {})[status] = count
        statuses[status] += count
    shared = {name for name in grown if GAUGES[name.split()[0]].shared}
    return SoakReport(
        about=about,
        rule=RULE,
        answers=answers,
        statuses=dict(statuses),
        refused_count=tally.refused_count,
        unexpected_count=tally.unexpected_count,
        unexpected=tally.unexpected,
        residue=residue,
        warm_up_s=warm_up_s,
        trends=trends,
        quiet_trends=quiet_trends,
        grows=[name for name in grown if name not in shared],
        grows_shared=sorted(shared),
        loaded=loaded,
        quiet=quiet,
    )


def tell(report: SoakReport) -> None:
    """The report in a few lines for a terminal."""
    for title, trends in (("under load", report.trends), ("quiet", report.quiet_trends)):
        print(f"\n{title}: slope per hour (95 % interval), growth over the run, verdict")
        for name, trend in trends.items():
            print(
                f"  {GAUGES[name].title:38} {trend.slope_per_hour:10.3g} "
                f"({trend.low_per_hour:.3g} to {trend.high_per_hour:.3g}), {trend.growth:.3g}, "
                f"{'GROWS' if trend.grows else 'flat'}"
            )
    print(f"\n{report.rule}")
    print(
        f"{report.about.duration_s / 60:.0f} minutes, {report.about.attack_count} attack programs"
    )
    print(f"answers by status: {report.statuses}; refused for load: {report.refused_count}")
    print(f"unexpected answers: {report.unexpected_count}; residue: {len(report.residue)}")
    if report.grows_shared:
        print(f"grows, and others move it too: {', '.join(report.grows_shared)}")
