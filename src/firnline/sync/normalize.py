"""Step 3: a page's records become typed columns.

Takes the JSON records of one page and the catalog's object; `sync.store` receives a pyarrow.Table
whose columns are the object's fields. A value that does not fit its type becomes null and is
listed with the reason, so that one bad value never holds up a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from firnline.cache.columns import arrow_type
from firnline.catalog.model import FieldInfo, ObjectInfo, ScalarName
from firnline.sync.values import TEXT_LENGTH_MAX, UnfitValue, converter, key_text

_NOTHING = type(None)
# The JSON types that Arrow takes as they are; anything else goes value by value.
_WHOLE: Mapping[ScalarName, frozenset[type]] = {
    "id": frozenset({str, _NOTHING}),
    "string": frozenset({str, _NOTHING}),
    "int": frozenset({int, _NOTHING}),
    "long": frozenset({int, _NOTHING}),
    "float": frozenset({float, _NOTHING}),
    "bool": frozenset({bool, _NOTHING}),
    "date": frozenset({str, _NOTHING}),
    "timestamp": frozenset({str, _NOTHING}),
}

# Arrow reads years that Python's dates do not reach.
_EARLIEST: Mapping[ScalarName, Any] = {
    "date": pa.scalar(date.min),
    "timestamp": pa.scalar(datetime.min, pa.timestamp("us")),
}
_LATEST: Mapping[ScalarName, Any] = {
    "date": pa.scalar(date.max),
    "timestamp": pa.scalar(datetime.max, pa.timestamp("us")),
}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A value, or a whole record when `field` is empty, that could not be stored, and why."""

    object: str
    key: str
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class NormalizedPage:
    """`rows` is a pyarrow.Table; `duplicates` counts records that a later one replaced."""

    rows: Any
    quarantined: tuple[Quarantined, ...]
    duplicates: int


def normalize(records: Sequence[Mapping[str, Any]], object_: ObjectInfo) -> NormalizedPage:
    """Return the records as typed columns; of equal keys the last one counts. Never raises."""
    quarantined: list[Quarantined] = []
    kept = _by_key(records, object_, quarantined)
    keys = list(kept)
    rows = list(kept.values())
    columns = {}
    for field in object_.fields:
        values = keys if field.name == object_.key else [row.get(field.name) for row in rows]
        columns[field.name] = _column(values, field, keys, object_.name, quarantined)
    without_key = sum(1 for found in quarantined if not found.field)
    duplicates = len(records) - len(kept) - without_key
    return NormalizedPage(pa.table(columns), tuple(quarantined), duplicates)


def _by_key(
    records: Sequence[Mapping[str, Any]], object_: ObjectInfo, quarantined: list[Quarantined]
) -> dict[str, Mapping[str, Any]]:
    kept: dict[str, Mapping[str, Any]] = {}
    for record in records:
        key = key_text(record.get(object_.key)) if isinstance(record, Mapping) else None
        if key is None or not _fits_key(key, object_):
            quarantined.append(Quarantined(object_.name, "", "", "the record has no usable key"))
        else:
            kept[key] = record
    return kept


def _fits_key(key: str, object_: ObjectInfo) -> bool:
    field = object_.by_name[object_.key]
    if field.type in ("id", "string"):
        return True
    try:
        return bool(str(converter(field)(key)))
    except UnfitValue:
        return False


def _column(
    values: list[Any],
    field: FieldInfo,
    keys: list[str],
    object_name: str,
    quarantined: list[Quarantined],
) -> Any:
    column = _whole_column(values, field)
    if column is not None:
        return column
    convert = converter(field)
    fitted: list[Any] = []
    for position, value in enumerate(values):
        try:
            fitted.append(None if value is None else convert(value))
        except UnfitValue as unfit:
            fitted.append(None)
            quarantined.append(Quarantined(object_name, keys[position], field.name, str(unfit)))
    return pa.array(fitted, arrow_type(field))


def _whole_column(values: list[Any], field: FieldInfo) -> Any:
    """Return the column when Arrow can take all values at once, None when it cannot."""
    whole = _WHOLE.get(field.type)
    if whole is None or not set(map(type, values)) <= whole:
        return None
    try:
        if field.type in ("date", "timestamp"):
            return _moments(values, field)
        column = pa.array(values, arrow_type(field))
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return None
    if field.type in ("id", "string"):
        longest = pc.max(pc.utf8_length(column)).as_py() or 0
        return None if longest > TEXT_LENGTH_MAX else column
    if field.type == "float" and pc.all(pc.is_finite(column)).as_py() not in (True, None):
        return None
    return column


def _moments(values: list[Any], field: FieldInfo) -> Any:
    """Return dates or timestamps; None when Python has no name for one of them."""
    moments = pa.array(values, pa.string())
    if field.type == "timestamp":
        # With a zone Arrow insists that every text states its own, and brings them to UTC.
        moments = pc.cast(moments, pa.timestamp("us", "UTC"))
    moments = pc.cast(moments, arrow_type(field))
    first, last = (_EARLIEST[field.type], _LATEST[field.type])
    outside = pc.or_(pc.less(moments, first), pc.greater(moments, last))
    return None if pc.any(outside).as_py() else moments
