"""Narrowing: which records a list field is about: `where`, `search` and `distinctOn` together.

Takes the field's arguments; plan puts the conditions on every statement of the field, so that its
pages, counts, aggregates and groups are about the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from firnline.cache.query import (
    FALSE,
    Bound,
    Call,
    Column,
    Expression,
    InSelect,
    RowNumber,
    Select,
    all_of,
)
from firnline.graph.filter import FilterError, Filters
from firnline.graph.grouping import KEYS_MAX, grouping_key
from firnline.graph.request import GraphContext
from firnline.graph.scan import MaskedFieldError, Scan
from firnline.graph.shape import GraphRelation

SEARCH_LENGTH_MAX = 200
SEARCH_WORDS_MAX = 10


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The arguments of a list field that choose records; the order decides what is distinct."""

    where: Mapping[str, Any]
    order_by: Sequence[Mapping[str, Any]]
    search: str | None = None
    distinct_on: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Return what the arguments of a list field say."""
        return cls(
            where=arguments.get("where") or {},
            order_by=arguments.get("orderBy") or [],
            search=arguments.get("search"),
            distinct_on=arguments.get("distinctOn") or [],
        )

    @property
    def is_plain(self) -> bool:
        """Say whether `where` tells it all."""
        return self.search is None and not self.distinct_on

    def conditions(
        self, scan: Scan, filters: Filters, relation: GraphRelation | None
    ) -> list[Expression]:
        """Return the conditions on `scan`; raises FilterError, MaskedFieldError and the like."""
        found = self._matching(scan, filters)
        if self.distinct_on:
            found.append(self._distinct(scan, filters, relation))
        return found

    def _matching(self, scan: Scan, filters: Filters) -> list[Expression]:
        found = [filters.where(scan, self.where)]
        if self.search is not None:
            found.append(searched(scan.context, scan, self.search))
        return found

    def _distinct(self, scan: Scan, filters: Filters, relation: GraphRelation | None) -> Expression:
        """Return the condition that a record is the first of those with equal keys."""
        if len(self.distinct_on) > KEYS_MAX:
            raise FilterError(
                f"distinctOn takes at most {KEYS_MAX} keys", hint="Leave some of them out."
            )
        every = filters.scan(scan.object)
        keys = [grouping_key(filters, every, each)[1] for each in self.distinct_on]
        if relation is not None:  # among the records of one parent
            keys.append(every.key(relation.remote))
        matching = self._matching(every, filters)
        order = tuple(key.order for key in filters.order(every, self.order_by))
        number = RowNumber(keys[0], order, tuple(keys[1:]))
        rows = every.select((("k", every.identity()), ("n", number)), matching)
        is_first = Call("eq", (Column("d", "n"), Bound(1, "BIGINT")))
        firsts = Select((("k", Column("d", "k")),), rows, "d", where=is_first)
        return InSelect(scan.identity(), firsts)


def searched(context: GraphContext, scan: Scan, text: str) -> Expression:
    """Return the condition that every word of `text` stands in some text field of a record.

    Neither case nor accents matter. Fields that the person may not read are not searched, and
    noted as withheld.
    """
    words = text.split()
    if len(text) > SEARCH_LENGTH_MAX or len(words) > SEARCH_WORDS_MAX:
        raise FilterError(
            f"search takes {SEARCH_WORDS_MAX} words and {SEARCH_LENGTH_MAX} characters at most",
            hint="Search for fewer words.",
        )
    fields: list[Expression] = []
    for field in scan.object.fields.values():
        if field.scalar != "string" or field.words:
            continue
        try:
            fields.append(scan.field(field.name, "filter"))
        except MaskedFieldError as masked:
            context.note(masked.note)
    if not fields:
        return FALSE
    everything = Call("search_text", tuple(fields))
    return all_of(
        [
            Call("contains", (everything, Call("search_text", (Bound(word, "VARCHAR"),))))
            for word in words
        ]
    )
