"""Reading the ranges of user ids that a machine grants."""

from __future__ import annotations

import pytest

from execbox_service.engines.bubblewrap.user_namespace import IdRange, parse_granted


@pytest.mark.parametrize(
    ("text", "granted"),
    [
        ("", None),
        ("alice:100000:65536\n", IdRange(100000, 65536)),
        ("bob:1:2\n1000:200000:70000\nalice:100000:65536\n", IdRange(200000, 70000)),
        ("alice:100000\nalice:x:y\n:1:2\n", None),
        ("# alice:1:2\nalice:5:6 # why\n", IdRange(5, 6)),
        ("alice2:100000:65536\n", None),
    ],
)
def test_granted_range_is_the_largest_of_the_user(text: str, granted: IdRange | None) -> None:
    """Entries by name and by number count; what is not an entry is passed over."""
    assert parse_granted(text, names=frozenset({"alice", "1000"})) == granted
