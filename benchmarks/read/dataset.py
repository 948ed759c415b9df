"""The data set of the read benchmark: deterministic, sized by one factor.

Gives Arrow tables by object name; stores load them, the reference evaluates them in plain Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from firnline.cache.columns import arrow_type
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SEGMENTS = tuple(f"segment-{letter}" for letter in "abcdefgh")
COUNTS = {
    "accounts": 10_000,
    "opportunities": 50_000,
    "tickets": 200_000,
    "invoices": 100_000,
    "assets": 5_000,
}
REP, REP_TEAM = "rep@bench.example", "north"
ALL = "all@bench.example"
_USERS = 40
_SEED = 20_261_122
_EPOCH_DAY = (date(2026, 11, 22) - date(1970, 1, 1)).days

_TYPES: Mapping[str, Mapping[str, str]] = {
    "users": {"id": "id", "email": "string", "team": "string"},
    "shares": {"id": "id", "account_id": "id", "user_id": "id", "level": "string"},
    "accounts": {
        "id": "id",
        "name": "string",
        "segment": "string",
        "region": "string",
        "industry": "string",
        "employees": "int",
        "revenue": "decimal",
        "rating": "int",
        "active": "bool",
        "owner_id": "id",
        "created_at": "timestamp",
        "margin": "decimal",
    },
    "opportunities": {
        "id": "id",
        "account_id": "id",
        "name": "string",
        "stage": "string",
        "amount": "decimal",
        "closes_on": "date",
        "owner_id": "id",
        "created_at": "timestamp",
    },
    "tickets": {
        "id": "id",
        "account_id": "id",
        "subject": "string",
        "status": "string",
        "priority": "string",
        "created_at": "timestamp",
        "effort": "int",
    },
    "invoices": {
        "id": "id",
        "account_id": "id",
        "number": "string",
        "amount": "decimal",
        "status": "string",
        "due_on": "date",
    },
    "assets": {
        "id": "id",
        "position": "int",
        **{f"text{n:02d}": "string" for n in range(1, 21)},
        **{f"whole{n:02d}": "int" for n in range(1, 11)},
        **{f"day{n:02d}": "date" for n in range(1, 5)},
        **{f"price{n:02d}": "decimal" for n in range(1, 5)},
    },
}
_HIDDEN_TABLES = ("users", "shares")  # permission records, no objects of the graph

CATALOG = Catalog(
    provider="bench",
    objects=tuple(
        ObjectInfo(
            name=name,
            key="id",
            exposed=name not in _HIDDEN_TABLES,
            fields=tuple(FieldInfo(name=each, type=kind) for each, kind in fields.items()),  # type: ignore[arg-type]
        )
        for name, fields in _TYPES.items()
    ),
)


def dataset(scale: float = 1.0) -> dict[str, Any]:
    """Return the Arrow tables by object name, with `scale` times the usual rows."""
    draw = np.random.default_rng(_SEED)
    counts = {name: max(int(count * scale), 100) for name, count in COUNTS.items()}
    users = _users()
    owners = users["id"]
    columns = {
        "users": users,
        "accounts": _accounts(draw, counts["accounts"], owners),
        "opportunities": _opportunities(draw, counts, owners),
        "tickets": _tickets(draw, counts),
        "invoices": _invoices(draw, counts),
        "assets": _assets(draw, counts["assets"]),
        "shares": _shares(draw, counts["accounts"], owners),
    }
    return {name: _table(CATALOG.by_name[name], found) for name, found in columns.items()}


def _table(object_: ObjectInfo, columns: Mapping[str, Any]) -> Any:
    arrays = {}
    for field in object_.fields:
        values = columns[field.name]
        if field.type == "decimal":
            arrays[field.name] = _decimals(values, field)
        else:
            arrays[field.name] = pa.array(values).cast(arrow_type(field))
    return pa.table(arrays)


def _decimals(cents: Any, field: FieldInfo) -> Any:
    words = np.zeros((len(cents), 2), dtype=np.int64)  # 128 bits each, the low half first
    words[:, 0] = cents
    assert field.scale == 2
    buffers = [None, pa.py_buffer(words.tobytes())]
    return pa.Array.from_buffers(arrow_type(field), len(cents), buffers)


def _users() -> dict[str, Any]:
    teams = ["all", *(("north", "south", "west")[n % 3] for n in range(_USERS - 1))]
    emails = [ALL, REP, *(f"user{n}@bench.example" for n in range(2, _USERS))]
    return {"id": _keys("u", _USERS), "email": emails, "team": teams}


def _keys(letter: str, count: int) -> Any:
    return np.char.add(letter, np.char.zfill(np.arange(count).astype(str), 7))


def _pick(draw: Any, words: Any, count: int) -> Any:
    return np.asarray(words)[draw.integers(0, len(words), count)]


def _distinct_cents(draw: Any, count: int) -> Any:
    # Distinct, so that an order by amount is total and every target must give the same rows.
    return (draw.permutation(count) + 1) * 137 + 5_000


def _stamps(draw: Any, count: int) -> Any:
    seconds = int(NOW.timestamp()) - draw.permutation(count) * 97
    return (seconds * 1_000_000).astype("datetime64[us]")


def _days(draw: Any, count: int) -> Any:
    return (_EPOCH_DAY + draw.integers(-400, 400, count)).astype("datetime64[D]")


def _accounts(draw: Any, count: int, owners: Any) -> dict[str, Any]:
    return {
        "id": _keys("a", count),
        "name": np.char.add("Customer ", draw.permutation(count).astype(str)),
        "segment": _pick(draw, SEGMENTS, count),
        "region": _pick(draw, ["north", "south", "east", "west"], count),
        "industry": _pick(draw, ["food", "tools", "paper", "glass", "care", "power"], count),
        "employees": draw.integers(1, 10_000, count),
        "revenue": _distinct_cents(draw, count) * 100,
        "rating": draw.integers(1, 6, count),
        "active": draw.integers(0, 2, count).astype(bool),
        "owner_id": _pick(draw, owners, count),
        "created_at": _stamps(draw, count),
        "margin": _distinct_cents(draw, count),
    }


def _opportunities(draw: Any, counts: Mapping[str, int], owners: Any) -> dict[str, Any]:
    count = counts["opportunities"]
    return {
        "id": _keys("o", count),
        "account_id": _pick(draw, _keys("a", counts["accounts"]), count),
        "name": np.char.add("Opportunity ", draw.permutation(count).astype(str)),
        "stage": _pick(draw, ["new", "qualified", "offered", "won", "lost"], count),
        "amount": _distinct_cents(draw, count),
        "closes_on": _days(draw, count),
        "owner_id": _pick(draw, owners, count),
        "created_at": _stamps(draw, count),
    }


def _tickets(draw: Any, counts: Mapping[str, int]) -> dict[str, Any]:
    count = counts["tickets"]
    return {
        "id": _keys("t", count),
        "account_id": _pick(draw, _keys("a", counts["accounts"]), count),
        "subject": np.char.add("It does not work: ", draw.integers(0, 9_999, count).astype(str)),
        "status": _pick(draw, ["open", "open", "pending", "solved", "closed"], count),
        "priority": _pick(draw, ["low", "normal", "high", "urgent"], count),
        "created_at": _stamps(draw, count),
        "effort": draw.integers(1, 100, count),
    }


def _invoices(draw: Any, counts: Mapping[str, int]) -> dict[str, Any]:
    count = counts["invoices"]
    return {
        "id": _keys("i", count),
        "account_id": _pick(draw, _keys("a", counts["accounts"]), count),
        "number": np.char.add("INV-", np.char.zfill(draw.permutation(count).astype(str), 8)),
        "amount": _distinct_cents(draw, count),
        "status": _pick(draw, ["draft", "sent", "paid", "overdue"], count),
        "due_on": _days(draw, count),
    }


def _assets(draw: Any, count: int) -> dict[str, Any]:
    columns: dict[str, Any] = {"id": _keys("s", count), "position": np.arange(count)}
    for name, kind in _TYPES["assets"].items():
        if name in columns:
            continue
        match kind:
            case "string":
                number = draw.integers(0, 500, count).astype(str)
                columns[name] = np.char.add(f"{name} value ", number)
            case "int":
                columns[name] = draw.integers(0, 1_000_000, count)
            case "date":
                columns[name] = _days(draw, count)
            case _:
                columns[name] = draw.integers(100, 10_000_000, count)
    return columns


def _shares(draw: Any, accounts: int, owners: Any) -> dict[str, Any]:
    count = max(accounts // 5, 20)
    return {
        "id": _keys("h", count),
        "account_id": _pick(draw, _keys("a", accounts), count),
        "user_id": _pick(draw, owners[:8], count),
        "level": _pick(draw, ["none", "read", "edit"], count),
    }
