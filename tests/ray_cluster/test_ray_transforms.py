"""Rows of Ray Data's batches as records and back, with steps that need no service."""

from __future__ import annotations

import json
from contextlib import closing, nullcontext
from typing import Any

import pytest

from execbox import AsyncClient
from execbox.dataset.files.json_lines import BadRecord, Value
from execbox.dataset.files.records import Record
from execbox.dataset.steps.step import OpenStep, Step, per_record
from execbox.dataset.steps.verdicts import VerifyOptions
from execbox.dataset.steps.verify import open_verify_step
from execbox.errors import ConfigError, ServiceUnavailable
from tests.dataset import verifying
from tests.dataset.files import answered

pa = pytest.importorskip("pyarrow")
transforms = pytest.importorskip("execbox.ray.transforms")


async def doubled(record: Record) -> Value:
    """The step of most tests: twice ``n``."""
    if "n" not in record.value:
        raise BadRecord('"n" is missing', reason="missing_field", detail={"at": record.index})
    return record.value | {"twice": 2 * int(str(record.value["n"]))}


class Doubling(transforms._Transform):  # type: ignore[misc, name-defined, unused-ignore]
    """A transform without a service."""

    def _open(self, client: AsyncClient) -> OpenStep:
        return nullcontext(
            Step(name="double", settings={}, work=per_record(doubled), reason_of=lambda _: "done")
        )


def worked(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What it makes of a batch of these columns."""
    with closing(Doubling("http://127.0.0.1:1")) as doubling:
        result: dict[str, list[Any]] = doubling(pa.table(columns)).to_pydict()
    return result


def test_rows_of_text_become_results_and_other_columns_stay() -> None:
    """As ``read_text`` with ``include_paths`` gives them."""
    made = worked({"text": ['{"id": "a", "n": 1}', '{"id": 7, "n": 2}'], "path": ["x", "y"]})
    assert [json.loads(text) for text in made["text"]] == [
        {"id": "a", "n": 1, "twice": 2},
        {"id": "7", "n": 2, "twice": 4},
    ]
    assert made["path"] == ["x", "y"]
    assert made["failure"] == [None, None]


def test_rows_of_columns_are_records_of_their_members() -> None:
    """As a Parquet file of functions has them."""
    made = worked({"id": ["a", "b"], "n": [1, 2]})
    assert set(made) == {"text", "failure"}
    assert [json.loads(text)["twice"] for text in made["text"]] == [2, 4]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not_json"),
        ("[1]", "not_an_object"),
        ('{"id": "a"}', "missing_field"),
        ('{"n": 1, "n": 2}', "not_json"),
    ],
)
def test_row_that_cannot_be_used_says_why_and_the_others_go_on(text: str, reason: str) -> None:
    """No row is lost, whatever it holds."""
    made = worked({"text": [text, '{"n": 2}']})
    assert made["text"][0] is None
    failure = json.loads(made["failure"][0])
    assert (failure["reason"], failure["retry"]) == (reason, False)
    assert made["failure"][1] is None


def test_rows_that_failed_before_are_handed_on() -> None:
    """A transform after one that had no result for a row."""
    made = worked({"text": [None, '{"n": 2}'], "failure": ['{"reason": "x"}', None]})
    assert made["failure"] == ['{"reason": "x"}', None]
    assert made["text"][0] is None


def test_record_without_an_id_is_called_by_its_line_or_its_text() -> None:
    """By its text, it is called the same wherever Ray runs it again."""
    by_line = worked({"text": ['{"n": 1}'], "line": [41]})
    by_text = worked({"text": ['{"n": 1}', '{"n": 2}']})
    again = worked({"text": ['{"n": 2}', '{"n": 1}']})
    assert json.loads(by_line["text"][0])["id"] == "41"
    assert sorted(by_text["text"]) == sorted(again["text"])
    assert len({json.loads(text)["id"] for text in by_text["text"]}) == 2


def test_batch_of_a_different_kind_is_refused_with_what_to_say() -> None:
    """Ray Data's default is no Arrow table."""
    with (
        closing(Doubling("http://127.0.0.1:1")) as doubling,
        pytest.raises(ConfigError, match='batch_format="pyarrow"'),
    ):
        doubling({"text": ["{}"]})


def test_service_that_fails_ends_the_batch_with_its_own_error() -> None:
    """Not with a group of errors, which no caller of ours expects."""

    async def failing(_: Record) -> Value:
        raise ServiceUnavailable("not now", retryable=True)

    class Failing(Doubling):
        def _open(self, client: AsyncClient) -> OpenStep:
            return nullcontext(
                Step(name="f", settings={}, work=per_record(failing), reason_of=lambda _: "")
            )

    with (
        closing(Failing("http://127.0.0.1:1")) as transform,
        pytest.raises(ServiceUnavailable, match="not now"),
    ):
        transform(pa.table({"text": ["{}", "{}"]}))


def test_address_that_is_none_is_refused_when_the_transform_is_made() -> None:
    """And not with the first batch, on a node of a cluster."""
    with pytest.raises(ConfigError, match="http://"):
        Doubling("execbox:8080")


def test_rows_of_a_verify_request_that_failed_are_to_be_tried_again() -> None:
    """And the job goes on with the others."""
    lost = ServiceUnavailable("two sandboxes in a row were lost", code="sandbox_lost")
    service = verifying.Doubling(fault=lambda item: lost if item.id == "1.0.o" else None)
    options = VerifyOptions(chunk_count=1, concurrency=1)

    class Verifying(Doubling):
        def _open(self, client: AsyncClient) -> OpenStep:
            return open_verify_step(service, options)

    lines = [json.dumps(answered(n, f'{{"output": {2 * n}}}')) for n in range(3)]
    with closing(Verifying("http://127.0.0.1:1")) as transform:
        made = transform(pa.table({"text": lines})).to_pydict()
    assert [text is None for text in made["text"]] == [False, True, False]
    failure = json.loads(made["failure"][1])
    assert (failure["reason"], failure["retry"]) == ("sandbox_lost", True)
