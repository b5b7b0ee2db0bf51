"""Output in pieces as text: together what all of it at once would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from execbox.wire import CellResponse, Usage
from execbox_service.judge.live_text import LiveTexts
from execbox_service.judge.outcome import stream_text

WRITTEN = st.lists(
    st.binary(max_size=6) | st.text(max_size=4).map(lambda text: text.encode("utf-8", "replace"))
)


@given(WRITTEN, WRITTEN, st.integers(0, 40), st.integers(0, 5))
def test_lines_of_any_pieces_are_the_whole_text(
    out: list[bytes], err: list[bytes], limit_bytes: int, unseen_count: int
) -> None:
    """Also where a character lies in several, where it is cut, and where the last were not seen."""
    texts = LiveTexts(limit_bytes=limit_bytes)
    seen = []
    for index in range(max(len(out), len(err)) - unseen_count):
        lines = texts.lines(b"".join(out[index : index + 1]), b"".join(err[index : index + 1]))
        assert all((line.stdout is None) != (line.stderr is None) for line in lines)
        seen += lines
    whole = [stream_text(b"".join(each), limit_bytes=limit_bytes).text for each in (out, err)]
    usage = Usage(cpu_time_s=0, wall_time_s=0, peak_memory_bytes=0)
    cell = CellResponse(status="ok", stdout=whole[0], stderr=whole[1], usage=usage, cell=1)
    seen += texts.rest(cell)
    assert "".join(line.stdout or "" for line in seen) == whole[0]
    assert "".join(line.stderr or "" for line in seen) == whole[1]
