"""When a soak is good: nothing wrong, nothing left, nothing growing that is the service's own."""

from __future__ import annotations

import pytest
from acceptance.attack_targets import Came
from acceptance.soak_meters import GAUGES, Sample
from acceptance.soak_report import About, SoakReport, Tally, report_of


def samples(grown: str | None = None) -> list[Sample]:
    """An hour of samples, all flat but the one named, which doubles and more."""
    flat = dict.fromkeys(GAUGES, 1000.0) | {"all_containers": 5.0}
    return [
        Sample(30.0 * at, flat | ({grown: 1000.0 + 20 * at} if grown else {})) for at in range(120)
    ]


def report(
    *,
    tally: Tally | None = None,
    loaded: str | None = None,
    quiet: str | None = None,
    residue: tuple[str, ...] = (),
    judges_shared: bool = True,
) -> SoakReport:
    """A report on a run in which these series grew."""
    return report_of(
        tally or Tally(),
        samples(loaded),
        samples(quiet),
        residue=list(residue),
        about=About("command", "date", 1, 3600.0, 100, judges_shared=judges_shared),
    )


def test_report_of_flat_run_is_good_and_counts_by_name_level_and_status() -> None:
    """Answers as expected leave it good."""
    tally = Tally()
    for status in ("ok", "ok", "timeout"):
        tally.add(Came("attack", "process", status))
    found = report(tally=tally)
    assert found.good
    assert found.answers == {"attack": {"process": {"ok": 2, "timeout": 1}}}
    assert found.statuses == {"ok": 2, "timeout": 1}
    assert set(found.trends) == set(GAUGES)


@pytest.mark.parametrize("name", [name for name, gauge in GAUGES.items() if not gauge.shared])
def test_report_of_run_in_which_a_series_grew_is_not_good(name: str) -> None:
    """Under load or while no job runs."""
    assert report(loaded=name).grows == [name]
    assert report(quiet=name).grows == [f"{name} (quiet)"]
    assert not report(loaded=name).good
    assert not report(quiet=name).good


def test_report_of_growth_that_others_share_counts_unless_they_do() -> None:
    """The daemon's descriptors, on a machine of one's own and on another."""
    assert not report(loaded="daemon_fds").good
    lenient = report(loaded="daemon_fds", judges_shared=False)
    assert lenient.good
    assert lenient.grows_shared == ["daemon_fds"]


def test_report_of_wrong_answer_or_residue_is_not_good(capsys: pytest.CaptureFixture[str]) -> None:
    """What was wrong is kept with its name, and told at once."""
    tally = Tally()
    tally.add(Came("attack", "process", "ok", "output 1, not 2", "the answer"))
    found = report(tally=tally)
    assert not found.good
    assert [each["answer"] for each in found.unexpected] == ["the answer"]
    assert "attack [process]: output 1, not 2: the answer" in capsys.readouterr().out
    assert not report(residue=("a file",)).good
