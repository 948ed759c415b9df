"""Sealed cursors: where a page ended, readable by this gateway only.

A cursor holds the sort values of a record, so it is encrypted, and bound to tenant, principal and
question: a cursor of another person or another question is refused, never interpreted. Equal places
of equal questions have equal cursors (RFC 5297 is made for that): answers that tell the same are
the same bytes, or a subscription would be told of every change that it may not see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from firnline.cache.query import FALSE, Bound, Call, Expression, all_of, any_of
from firnline.catalog.conditions import COLUMN_TYPES
from firnline.errors import UsageError
from firnline.graph.filter import SortKey


class CursorError(UsageError):
    """A cursor is not one of ours, or belongs to another question or person."""

    code = "cursor_invalid"

    def __init__(self) -> None:
        super().__init__(
            "the cursor does not belong to this question",
            hint="Use pageInfo.endCursor of the same field, arguments and person; else start over.",
        )


class CursorSeal:
    """Seals sort values with a key of this installation; `binding` is what a cursor belongs to."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESSIV(hashlib.sha512(b"cursor:" + key).digest())

    def seal(self, values: Sequence[Any], binding: bytes) -> str:
        """Return the cursor of a record whose sort values, in their JSON form, are `values`."""
        sealed = self._cipher.encrypt(orjson.dumps(list(values)), [binding])
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, cursor: str, binding: bytes) -> list[Any]:
        """Return the sort values; raises CursorError."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
            opened = self._cipher.decrypt(raw, [binding])
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise CursorError from error
        values = orjson.loads(opened)
        assert isinstance(values, list)
        return values


def after(keys: Sequence[SortKey], values: Sequence[Any]) -> Expression:
    """Return the condition that a row comes after the one with sort values `values`."""
    if len(keys) != len(values):
        raise CursorError
    branches = []
    for position, key in enumerate(keys):
        equal = [
            Call("same", (before.expression, _bound(before, value)))
            for before, value in zip(keys[:position], values[:position], strict=True)
        ]
        branches.append(all_of([*equal, _beyond(key, values[position])]))
    return any_of(branches)


def before(keys: Sequence[SortKey], values: Sequence[Any]) -> Expression:
    """Return the condition that a row comes before the one with sort values `values`."""
    return after([key.backward for key in keys], values)


def _beyond(key: SortKey, value: Any) -> Expression:
    is_null = Call("is_null", (key.expression,))
    if value is None:
        return Call("not", (is_null,)) if key.nulls_first else FALSE
    compared = Call("lt" if key.descending else "gt", (key.expression, _bound(key, value)))
    return compared if key.nulls_first else any_of([compared, is_null])


def _bound(key: SortKey, value: Any) -> Bound:
    return Bound(value, COLUMN_TYPES[key.field.scalar])
