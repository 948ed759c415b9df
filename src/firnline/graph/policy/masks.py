"""Masks of the builder's policy: what is shown of a field, as an expression of the plan.

Takes a field's value and its mask; scans select the result. A masked field is only ever selected:
where it would decide about records it is refused, or its whole value could be found by trying.
"""

from __future__ import annotations

from firnline.cache.query import Bound, Call, Cast, Expression, KeyedHash
from firnline.catalog.conditions import COLUMN_TYPES
from firnline.catalog.model import ScalarName
from firnline.spec.policy import Mask, Redact, fits_mask


def mask_reason(mask: Mask, scalar: ScalarName) -> str:
    """Return what the person is told of a mask."""
    match fitting(mask, scalar):
        case None:
            return "masked by the builder's policy"
        case Redact():
            return "parts are masked by the builder's policy"
        case word:
            return f"masked by the builder's policy ({word})"


def fitting(mask: Mask, scalar: ScalarName) -> Mask:
    """Return the mask, or null where it cannot be applied to the field's type."""
    return mask if fits_mask(mask, scalar) else None


def masked(value: Expression, scalar: ScalarName, mask: Mask, key: bytes | None) -> Expression:
    """Return what is shown of `value`; a hash without a key shows nothing."""
    match fitting(mask, scalar):
        case Redact() as found:
            return Call("redact", (value, Bound(found.redact, "VARCHAR")))
        case "last4":
            return Call("last_four", (value,))
        case "year":
            start = Call("date_trunc", (Bound("year", "VARCHAR"), value))
            return Cast(start, COLUMN_TYPES[scalar])
        case "hash" if key:
            return KeyedHash(value, key)
        case _:
            return Bound(None, COLUMN_TYPES[scalar])
