"""Values on their way out, where no sandbox is needed to see what becomes of them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execbox_runner import values


class _Quiet(Decimal):
    """Says that it is none, and makes itself a number."""

    def is_snan(self) -> bool:
        return False

    def __float__(self) -> float:
        return 1.0


@pytest.mark.parametrize("convert", ["none", "codeio"])
@pytest.mark.parametrize(
    "value", [Decimal("sNaN"), [Decimal("-sNaN12")], {"a": (Decimal("sNaN"),)}, _Quiet("sNaN")]
)
def test_signaling_nan_is_unserializable_and_no_exception_of_the_function(
    value: object, convert: str
) -> None:
    """It raises ``ValueError`` where it is made a float, which is not the function's doing."""
    with pytest.raises(values.Unserializable):
        values.encode(value, limit_bytes=10_000, convert=convert)


def test_quiet_nan_of_a_decimal_is_converted_and_flagged_as_of_a_float() -> None:
    """As before."""
    assert values.encode(Decimal("NaN"), limit_bytes=10_000, convert="codeio").non_finite
