"""Which attacks a machine runs that is too slow for all."""

from __future__ import annotations

from collections import Counter

import pytest
from acceptance.attack_targets import all_targets
from acceptance.attacks import count_of, first_of_each_group, main


@pytest.mark.parametrize("count", [1, 3])
def test_first_of_each_group_has_as_many_of_every_group(count: int) -> None:
    """No group is left out, and the order of the list is kept."""
    targets = all_targets()
    share = first_of_each_group(targets, count)
    groups = Counter(target.group for target in targets)
    assert Counter(target.group for target in share) == {
        group: min(size, count) for group, size in groups.items()
    }
    assert share == [target for target in targets if target in share]
    assert len(groups) == 5


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "all", ""])
def test_each_group_that_is_no_count_is_refused_before_anything_runs(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the value, and what it may be."""
    assert count_of("2") == 2
    with pytest.raises(SystemExit) as ended:
        main([f"--each-group={given}"])
    assert ended.value.code == 2
    assert f"{given!r} is no whole number from 1 on" in capsys.readouterr().err
