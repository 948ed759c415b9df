"""Catalog types to DuckDB and Arrow column types.

Takes fields of the catalog; `cache.store` receives column declarations, `sync.normalize` the
Arrow types that these columns accept unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from firnline.catalog.model import FieldInfo, ScalarName

_PRECISION_MAX = 38  # of DuckDB's DECIMAL

_DUCKDB: Mapping[ScalarName, str] = {
    "id": "VARCHAR",
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "json": "JSON",
    "strings": "VARCHAR[]",
}
_ARROW: Mapping[ScalarName, Callable[[], Any]] = {
    "id": pa.string,
    "string": pa.string,
    "int": pa.int32,
    "long": pa.int64,
    "float": pa.float64,
    "bool": pa.bool_,
    "date": pa.date32,
    "timestamp": lambda: pa.timestamp("us"),
    "time": lambda: pa.time64("us"),
    "json": pa.string,
    "strings": lambda: pa.list_(pa.string()),
}


def decimal_shape(field: FieldInfo) -> tuple[int, int]:
    """Return the (precision, scale) of a decimal field that DuckDB can store."""
    precision = min(max(field.precision, 1), _PRECISION_MAX)
    return precision, min(max(field.scale, 0), precision)


def duckdb_type(field: FieldInfo) -> str:
    """Return the DuckDB type of a field's column."""
    if field.type == "decimal":
        precision, scale = decimal_shape(field)
        return f"DECIMAL({precision},{scale})"
    return _DUCKDB[field.type]


def arrow_type(field: FieldInfo) -> Any:
    """Return the pyarrow.DataType of a field's values in a page."""
    if field.type == "decimal":
        return pa.decimal128(*decimal_shape(field))
    return _ARROW[field.type]()


def widens(old: str, new: str) -> bool:
    """Say whether every value of DuckDB type `old` is kept exactly by `new`."""
    if new in ("BIGINT", "DOUBLE") and old == "INTEGER":
        return True
    if new == "VARCHAR":
        # Text of a number or a date, but not of a list or JSON, is what the provider now means.
        return old in ("INTEGER", "BIGINT", "BOOLEAN", "DATE")
    if new.startswith("DECIMAL"):
        return _decimal_holds(new, old)
    return False


def _decimal_holds(new: str, old: str) -> bool:
    precision, scale = _shape(new)
    if old in ("INTEGER", "BIGINT"):
        return precision - scale >= {"INTEGER": 10, "BIGINT": 19}[old]
    if not old.startswith("DECIMAL"):
        return False
    old_precision, old_scale = _shape(old)
    return scale >= old_scale and precision - scale >= old_precision - old_scale


def _shape(declared: str) -> tuple[int, int]:
    precision, scale = declared.removeprefix("DECIMAL(").removesuffix(")").split(",")
    return int(precision), int(scale)
