"""Counting functions with their pairs: kept, corrected, dropped and rejected, why, and how large.

Reads what ``generate`` and ``certify`` write, their failures included, and answers of
``/v1/generate``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, Value, list_field
from execbox.dataset.files.record_certificates import certificates_of, own_meta_of
from execbox.dataset.steps.certified_record import tally_of
from execbox.report.counts import Spread, WordCounts, refuse_vast

__all__ = ["PairCounts"]


class PairCounts:
    """Functions and pairs. Causes and rules are counted once for each function they came up in."""

    def __init__(self) -> None:
        self.function_count = 0
        """Functions that have pairs."""
        self.without_pairs = WordCounts()
        """Functions that were asked for pairs and have none, by reason."""
        self.pair_count = 0
        self.certified_count = 0
        self.draw_count = 0
        """Draws of input generators."""
        self.rejected = WordCounts()
        """Draws that gave no pair."""
        self.stopped = WordCounts()
        self.sorted = WordCounts()
        """Pairs that were there before, by what ``certify`` made of each."""
        self.causes = WordCounts()
        """Of non-determinism."""
        self.rules = WordCounts()
        """Of object size that were broken."""
        self.made_with = WordCounts()
        """Pairs by the version of Python and the image that certified them."""
        self.input_chars = Spread()
        self.output_chars = Spread()

    def add(self, value: Value) -> None:
        """A function with its ``ios``. Raises ``BadRecord``, and counts nothing then."""
        ios = list_field(value, "ios")
        certificates = certificates_of(value)
        chars = [_chars_of(pair, place) for place, pair in enumerate(ios)]
        self._add_account(own_meta_of(value))
        self.function_count += 1
        self._add_pairs(chars)
        for certificate in certificates:
            self._add_certificate(certificate)

    def add_failure(self, value: Value, *, reason: str) -> None:
        """A function without pairs; ``value`` is the detail of its line in the error file."""
        self._add_account(own_meta_of(value))
        self.without_pairs.add(reason)

    def add_response(self, response: wire.GenerateResponse) -> None:
        """An answer of ``/v1/generate``. Raises ``BadRecord``, and counts nothing then."""
        refuse_vast([response.queue_time_s, response.attempts, response.rejected])
        self.function_count += bool(response.pairs)
        if not response.pairs:
            self.without_pairs.add(response.stopped)
        self._add_pairs(
            [(_text_chars(pair.input), _text_chars(pair.output)) for pair in response.pairs]
        )
        for pair in response.pairs:
            if pair.certificate is not None:
                self._add_certificate(pair.certificate)
        self.draw_count += max(0, response.attempts)
        self.rejected.add_all(response.rejected)
        self.stopped.add(response.stopped)
        examples = response.examples.values()
        checks = (one.determinism for one in examples if one.determinism is not None)
        self._add_once(self.causes, (check.cause for check in checks))
        self._add_once(self.rules, (one.rule for each in examples for one in each.violations))

    def _add_pairs(self, chars: list[tuple[int, int]]) -> None:
        self.pair_count += len(chars)
        for input_chars, output_chars in chars:
            self.input_chars.add(input_chars)
            self.output_chars.add(output_chars)

    def _add_certificate(self, certificate: wire.Certificate) -> None:
        self.certified_count += 1
        self.made_with.add(f"Python {certificate.python}, image {certificate.image[:19]}")

    def _add_account(self, own: Value) -> None:
        """What ``generate`` or ``certify`` noted of draws or pairs. Raises ``BadRecord``."""
        rejected = _counts_in(own, "rejected")
        refuse_vast([rejected, own.get("pairs"), own.get("attempts")])
        if _is_of_certify(own):
            self.sorted.add_all(tally_of(own))
        attempts = own.get("attempts")
        if isinstance(attempts, int) and attempts >= 0:
            self.draw_count += attempts
            self.stopped.add(str(own.get("stopped")))
        self.rejected.add_all(rejected)
        self._add_once(self.causes, _causes_in(own))
        self._add_once(self.rules, _rules_in(own))

    @staticmethod
    def _add_once(counts: WordCounts, words: Iterator[object]) -> None:
        for word in {word for word in words if isinstance(word, str)}:
            counts.add(word)


def _is_of_certify(own: Value) -> bool:
    for group in ("corrected", "dropped"):
        entries = own.get(group, [])
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and "reason" in entry for entry in entries
        ):
            raise BadRecord(
                f'meta.execbox: "{group}" must be an array of objects with a reason',
                reason="invalid_field",
            )
    return isinstance(own.get("pairs"), int)


def _counts_in(own: Value, name: str) -> Mapping[str, int]:
    found = own.get(name, {})
    if isinstance(found, dict) and all(
        isinstance(count, int) and not isinstance(count, bool) and count >= 0
        for count in found.values()
    ):
        return found
    raise BadRecord(f'meta.execbox: "{name}" must be counts by reason', reason="invalid_field")


def _examples_in(own: Value) -> Iterator[Value]:
    examples = own.get("examples")
    for example in examples.values() if isinstance(examples, dict) else ():
        if isinstance(example, dict):
            yield example


def _causes_in(own: Value) -> Iterator[object]:
    for example in _examples_in(own):
        yield example.get("cause")
    dropped = own.get("dropped")
    for entry in dropped if isinstance(dropped, list) else ():
        yield entry.get("cause")


def _rules_in(own: Value) -> Iterator[object]:
    for example in _examples_in(own):
        violations = example.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict):
                yield violation.get("rule")


def _chars_of(pair: object, place: int) -> tuple[int, int]:
    if isinstance(pair, dict) and {"input", "output"} <= pair.keys():
        return _text_chars(pair["input"]), _text_chars(pair["output"])
    raise BadRecord(
        f'ios[{place}] must be an object with "input" and "output"', reason="invalid_field"
    )


def _text_chars(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False))
