"""Our member of a record's ``meta``, and the certificates of its pairs; none is checked."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, Value, object_field

__all__ = ["OWN_META", "certificates_of", "own_meta_of", "packed_certificates", "with_own_meta"]

OWN_META = "execbox"
"""The member of a record's ``meta`` that everything of ours is in; the rest keeps its shape."""


def with_own_meta(value: Value, own: Value) -> Value:
    """A record's ``meta`` with our member in it."""
    meta = object_field(value, "meta") if value.get("meta") is not None else {}
    return meta | {OWN_META: own}


def own_meta_of(value: Value) -> Value:
    """Our member of a record's ``meta``, or of a failure's detail; empty where there is none."""
    meta = value.get("meta", value)
    own = meta.get(OWN_META) if isinstance(meta, dict) else None
    return own if isinstance(own, dict) else {}


def packed_certificates(certificates: Sequence[wire.Certificate]) -> Value:
    """Members for a record: ``certificate`` holds what all have in common, ``certificates`` what
    each has of its own, in the order of ``ios``. They are nearly the same, and there are many.
    """
    dumped = [certificate.model_dump() for certificate in certificates]
    if not dumped:
        return {}
    common = {
        name: value
        for name, value in dumped[0].items()
        if all(other[name] == value for other in dumped)
    }
    own = [{name: value for name, value in one.items() if name not in common} for one in dumped]
    return {"certificate": common} | ({"certificates": own} if any(own) else {})


def certificates_of(value: Value) -> Sequence[wire.Certificate]:
    """The certificate of each of a record's ``ios``, in their order; none where it has none."""
    own = own_meta_of(value)
    common, ios = own.get("certificate"), value.get("ios")
    if not isinstance(common, dict) or not isinstance(ios, list):
        return []
    each = own.get("certificates", [{}] * len(ios))
    if not isinstance(each, list) or len(each) != len(ios):
        raise BadRecord(f'has {len(ios)} "ios" and a different number of certificates')
    try:
        return [wire.Certificate.model_validate({**common, **one}) for one in each]
    except (ValidationError, TypeError) as error:
        raise BadRecord(f"a certificate that is none: {error}") from error
