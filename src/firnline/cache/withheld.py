"""Queries without the conditions that tell who may see which rows.

Takes a `Select`; explaining renders the result for people who may know what is asked of the cache,
but not how rights are stored. Mirrored row filters stand on tables and nowhere else: each permitted
relation is a query over one table, and its condition is the row filter. Conditions of the builder's
policy say themselves that they are one.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from firnline.cache.query import RowFilter, Select, Table, Withheld

ROW_FILTER = Withheld("the rows that this person may see")


def without_row_filters(select: Select) -> Select:
    """Return the query with a remark in place of every row filter in it."""
    changed = _changed(select)
    assert isinstance(changed, Select)
    return changed


def _changed(part: Any) -> Any:
    if isinstance(part, tuple):
        return tuple(_changed(each) for each in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    if isinstance(part, RowFilter):
        return ROW_FILTER
    if isinstance(part, Select) and isinstance(part.source, Table):
        part = replace(part, where=None if part.where is None else ROW_FILTER)
    return replace(part, **{each.name: _changed(getattr(part, each.name)) for each in fields(part)})
