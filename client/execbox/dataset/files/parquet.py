"""Parquet as lines of JSON: reading a table's rows as such, and writing a table of such lines.

What files are and where they lie is in ``sources`` and ``results_file``. Needs pyarrow, which is
imported when it is used. What a table's columns cannot carry as they are, above all values whose
shape differs from record to record, is a column of JSON text (Arrow's own type for it), so that
writing and reading again gives the same records.
"""

from __future__ import annotations

import datetime
import importlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from execbox import strict_json
from execbox.dataset.files.json_lines import RECORD_DEPTH_MAX, DatasetError, Value, decode_line

__all__ = ["INSTALL_LINE", "MAGIC", "ParquetLines", "refuse_missing_pyarrow", "write_parquet"]

INSTALL_LINE: Final = "pip install 'execbox[data]'"
MAGIC: Final = b"PAR1"

_ROWS_AT_ONCE = 256
_BATCH_BYTES = 32 * 1024 * 1024
_NULL_KEY, _NULL_IS_MISSING = b"execbox.null", b"missing"
_INT64_MAX = 2**63 - 1
_JSONL = "write JSON lines instead: -o FILE.jsonl"
_DAMAGED = "the Parquet data is damaged or of a kind that pyarrow cannot read"


def refuse_missing_pyarrow(name: str) -> None:
    """Raise ``DatasetError`` that says how to get pyarrow, where it is not installed."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DatasetError(
            f"{name}: is a Parquet file, which needs pyarrow ({error}): {INSTALL_LINE}; or use "
            f"JSONL, which pandas makes of it: read_parquet('{name}').to_json('{name}.jsonl', "
            "orient='records', lines=True)"
        ) from error


class ParquetLines(io.RawIOBase):
    """The rows of a Parquet file, each as a line of JSON; a few hundred in memory at a time.

    ``file`` has random access. Raises ``DatasetError`` for a column whose values have no JSON
    form, and for damaged data. Times and dates are text in the form of ISO 8601.
    """

    def __init__(self, file: BinaryIO, name: str, *, total_bytes: int = 0) -> None:
        refuse_missing_pyarrow(name)
        self._name = name
        self._total_bytes = total_bytes
        self._rows_read = 0
        self._left = memoryview(b"")
        with _arrow_errors(name):
            self._table = importlib.import_module("pyarrow.parquet").ParquetFile(file)
            self._columns = [_column(each, name) for each in self._table.schema_arrow]
        self._lines = self._read()

    @property
    def read_bytes(self) -> int:
        """How much of the file has been read, going by its rows."""
        rows = self._table.metadata.num_rows
        return self._total_bytes * self._rows_read // rows if rows else self._total_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            self._left = memoryview(next(self._lines, b""))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _read(self) -> Iterator[bytes]:
        with _arrow_errors(self._name):
            for batch in self._table.iter_batches(batch_size=_ROWS_AT_ONCE):
                columns = [each.to_pylist() for each in batch.columns]
                for row in range(batch.num_rows):
                    members = (
                        column.member(values[row])
                        for column, values in zip(self._columns, columns, strict=True)
                    )
                    self._rows_read += 1
                    yield f"{{{', '.join(filter(None, members))}}}\n".encode(
                        "utf-8", "surrogatepass"
                    )


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    is_json: bool
    null_is_missing: bool

    def member(self, value: object) -> str:
        """The record's member, as JSON; empty where the record has none of this name."""
        if value is None and self.null_is_missing:
            return ""
        text = json.dumps(value, ensure_ascii=False, default=_time_text)
        if self.is_json and isinstance(value, str) and _is_json(value):
            # Whole, and so without a line's end in a text: those outside are white space.
            text = value.replace("\n", " ").replace("\r", " ")
        return f"{json.dumps(self.name, ensure_ascii=False)}: {text}"


def _column(arrow_field: Any, name: str) -> _Column:
    type_ = arrow_field.type
    is_json = getattr(type_, "extension_name", None) == "arrow.json"
    if not is_json:
        why = _no_json(type_)
        if why is not None:
            raise DatasetError(
                f"{name}: the column {arrow_field.name!r} holds {why}, which has no JSON form; "
                "leave it out, or make it text or numbers first"
            )
    metadata = arrow_field.metadata or {}
    return _Column(arrow_field.name, is_json, metadata.get(_NULL_KEY) == _NULL_IS_MISSING)


def _no_json(type_: Any) -> str | None:
    """What of a type no JSON can be; None if all of it can."""
    types = importlib.import_module("pyarrow.types")
    if types.is_dictionary(type_):
        return _no_json(type_.value_type)
    if types.is_struct(type_):
        inner = [type_.field(number).type for number in range(type_.num_fields)]
    elif types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        inner = [type_.value_type]
    else:
        plain = (
            *(types.is_null, types.is_boolean, types.is_integer, types.is_floating),
            *(types.is_string, types.is_large_string, types.is_string_view),
            *(types.is_timestamp, types.is_date, types.is_time),
        )
        return None if any(is_(type_) for is_ in plain) else str(type_)
    return next(filter(None, map(_no_json, inner)), None)


def _time_text(value: object) -> str:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _is_json(text: str) -> bool:
    try:
        strict_json.decode(text, depth_max=RECORD_DEPTH_MAX, non_finite=True, lone_surrogates=True)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class _Seen:
    """What the values of one name are, over all lines."""

    kinds: set[str] = field(default_factory=set)
    keys: tuple[str, ...] | None = None
    """Of the objects in the arrays, where all are arrays of such."""
    present_count: int = 0
    null_count: int = 0

    def add(self, value: object) -> None:
        self.present_count += 1
        if value is None:
            self.null_count += 1
            return
        kind = _kind(value)
        if kind == "rows":
            for row in value:  # type: ignore[attr-defined]
                self.keys = tuple(row) if self.keys is None else self.keys
                if tuple(row) != self.keys:
                    kind = "json"
        self.kinds.add(kind)

    def kind(self, line_count: int) -> str:
        """What all of them can be written as."""
        only = self.kinds or {"text"}
        is_ambiguous = self.null_count > 0 and self.present_count < line_count
        if len(only) > 1 or is_ambiguous or (only == {"rows"} and not self.keys):
            return "json"
        return next(iter(only))


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text" if _is_unicode(value) else "json"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -_INT64_MAX - 1 <= value <= _INT64_MAX else "json"
    if isinstance(value, float):
        return "float"
    return "rows" if isinstance(value, list) and all(map(_is_row, value)) else "json"


def _is_row(value: object) -> bool:
    """An object of texts, such as a message of a conversation."""
    return isinstance(value, dict) and all(
        isinstance(text, str) and _is_unicode(text) for text in (*value, *value.values())
    )


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def write_parquet(
    lines: Callable[[], Iterator[bytes]], file: BinaryIO, *, name: str = "the table"
) -> None:
    """Write a table of the records on ``lines``, which is called twice and gives the same.

    ``name`` is what errors call the file. Raises ``DatasetError`` for what Parquet cannot hold.
    """
    with _arrow_errors(
        name, problem="pyarrow cannot write these records as Parquet", remedy=_JSONL
    ):
        _write(lines, file, name)


def _write(lines: Callable[[], Iterator[bytes]], file: BinaryIO, file_name: str) -> None:
    pa = importlib.import_module("pyarrow")
    seen: dict[str, _Seen] = {}
    line_count = 0
    for line in lines():
        line_count += 1
        for name, value in decode_line(line).items():
            seen.setdefault(name, _Seen()).add(value)
    for name in seen:
        if not _is_unicode(name):
            raise DatasetError(
                f"{file_name}: the column {name!r} has a name that is no Unicode text, which "
                f"Parquet cannot hold; {_JSONL}"
            )
    # A table needs a column, and every record has an id.
    seen = seen or {"id": _Seen()}
    kinds = {name: each.kind(line_count) for name, each in seen.items()}
    schema = pa.schema(
        [_arrow_field(pa, name, each, kinds[name], line_count) for name, each in seen.items()]
    )
    with importlib.import_module("pyarrow.parquet").ParquetWriter(file, schema) as writer:
        for batch in _batches(lines()):
            columns = [
                _array(pa, schema.field(name).type, name, kind, batch)
                for name, kind in kinds.items()
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _arrow_field(pa: Any, name: str, seen: _Seen, kind: str, line_count: int) -> Any:
    if kind == "rows":
        type_ = pa.list_(pa.struct([(key, pa.string()) for key in seen.keys or ()]))
    else:
        type_ = {
            "text": pa.string(),
            "boolean": pa.bool_(),
            "integer": pa.int64(),
            "float": pa.float64(),
            "json": pa.json_(pa.string()),
        }[kind]
    is_missing = seen.present_count < line_count
    return pa.field(name, type_, metadata={_NULL_KEY: _NULL_IS_MISSING} if is_missing else None)


def _batches(lines: Iterator[bytes]) -> Iterator[list[Value]]:
    batch: list[Value] = []
    size_bytes = 0
    for line in lines:
        batch.append(decode_line(line))
        size_bytes += len(line)
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _array(pa: Any, type_: Any, name: str, kind: str, batch: list[Value]) -> Any:
    if kind != "json":
        return pa.array([each.get(name) for each in batch], type=type_)
    texts = [_json_text(each, name) for each in batch]
    return pa.array(texts, type=pa.string()).cast(type_)


def _json_text(value: Mapping[str, object], name: str) -> str | None:
    if name not in value:
        return None
    text = json.dumps(value[name], ensure_ascii=False, allow_nan=False)
    return text if _is_unicode(text) else json.dumps(value[name], allow_nan=False)


@contextmanager
def _arrow_errors(
    name: str, *, problem: str = _DAMAGED, remedy: str = "fetch or write the file again"
) -> Iterator[None]:
    """What pyarrow says of the data, as an error that names the file."""
    try:
        yield
    except importlib.import_module("pyarrow").ArrowException as error:
        raise DatasetError(
            f"{name}: {problem} ({' '.join(str(error).split())[:200]}); {remedy}"
        ) from error
