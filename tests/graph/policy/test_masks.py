"""What is shown of a field under a mask: computed by DuckDB, and never more than the mask says."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date, datetime
from typing import Any

import duckdb
import pytest

from firnline.cache.naming import schema_name, table_reference
from firnline.cache.query import Bound, Select, Table
from firnline.cache.render import render
from firnline.catalog.conditions import COLUMN_TYPES
from firnline.graph.policy.masks import fitting, mask_reason, masked
from firnline.spec.policy import Mask, Redact

KEY = b"k" * 32
DIGITS = Redact(redact="[0-9]+")


def shown(value: Any, scalar: Any, mask: Mask, key: bytes | None = KEY) -> Any:
    column = COLUMN_TYPES[scalar]
    select = Select((("v", masked(Bound(value, column), scalar, mask, key)),), Table("c", "t"), "a")
    with duckdb.connect() as database:
        database.execute(f'CREATE SCHEMA "{schema_name("c")}"')
        database.execute(f"CREATE TABLE {table_reference('c', 't')} AS SELECT 1 AS one")
        text, values = render(select)
        ((found,),) = database.execute(text, values).fetchall()
    return found


@pytest.mark.parametrize(
    ("value", "scalar", "mask", "expected"),
    [
        ("ab 12 cd 345", "string", DIGITS, "ab *** cd ***"),
        ("4111111111111234", "string", "last4", "****1234"),
        (date(2026, 11, 22), "date", "year", date(2026, 1, 1)),
        (datetime(2026, 11, 22, 5), "timestamp", "year", datetime(2026, 1, 1)),
        ("secret", "string", None, None),
        (7, "int", None, None),
        # A mask that does not fit the type shows nothing.
        (7, "int", "hash", None),
        (7, "int", "last4", None),
        (7, "int", DIGITS, None),
        ("2026-11-22", "string", "year", None),
        (date(2026, 11, 22), "date", "last4", None),
    ],
)
def test_mask_shows_what_it_says(value: Any, scalar: Any, mask: Mask, expected: Any) -> None:
    found = shown(value, scalar, mask)
    assert (found.replace(tzinfo=None) if isinstance(found, datetime) else found) == expected


def test_hash_is_keyed_and_without_a_key_shows_nothing() -> None:
    expected = hmac.new(KEY, b"secret", hashlib.sha256).hexdigest()
    assert expected in str(shown("secret", "string", "hash")).lower()
    assert shown("secret", "string", "hash") != shown("secret", "string", "hash", b"o" * 32)
    assert shown("secret", "string", "hash", None) is None
    assert shown("secret", "string", "hash", b"") is None


@pytest.mark.parametrize(
    ("mask", "scalar", "reason"),
    [
        (None, "string", "masked by the builder's policy"),
        ("hash", "string", "masked by the builder's policy (hash)"),
        ("year", "date", "masked by the builder's policy (year)"),
        ("year", "string", "masked by the builder's policy"),
        (DIGITS, "string", "parts are masked by the builder's policy"),
        (DIGITS, "int", "masked by the builder's policy"),
    ],
)
def test_reason_tells_what_is_shown(mask: Mask, scalar: Any, reason: str) -> None:
    assert mask_reason(mask, scalar) == reason


def test_mask_fits_the_type_or_nothing_does() -> None:
    assert fitting("hash", "string") == "hash"
    assert fitting("hash", "int") is None
    assert fitting("year", "timestamp") == "year"
    assert fitting(DIGITS, "id") == DIGITS
