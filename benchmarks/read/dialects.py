"""How each database of the hand-written peers spells JSON, texts of values and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Members = Sequence[tuple[str, str]]  # (member, "column" or "column:form")
NODES_MAX = 5  # children per account


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One database's spelling. `stamp`, `text` and `money` are forms of a column."""

    make: str
    gather: str
    empty: str
    stamp: str
    text: str
    money: str
    parameter: str
    is_ordered: bool  # rows are gathered in the order of the subquery they come from

    def value(self, alias: str, source: str) -> str:
        """Return a column's value as it is answered."""
        column, _, form = source.partition(":")
        plain = f"{alias}.{column}"
        return str(getattr(self, form)).format(plain) if form else plain

    def record(self, alias: str, members: Members, more: str = "") -> str:
        """Return one row's JSON object; `more` are further members."""
        parts = [f"'{name}', {self.value(alias, source)}" for name, source in members]
        return f"{self.make}({', '.join(parts)}{more})"

    def gathered(self, record: str, order: str) -> str:
        """Return the JSON list of all rows of a query; none is an empty list."""
        found = self.gather.format(record if self.is_ordered else f"{record} ORDER BY {order}")
        return f"coalesce({found}, {self.empty})"

    def listed(self, record: str, alias: str, inner: str, order: str) -> str:
        """Return a connection's JSON over the rows of `inner`, in order."""
        found = self.gathered(record, f"{alias}.{order}")
        return f"{self.make}('nodes', (SELECT {found} FROM ({inner}) AS {alias}))"


SQLITE = Dialect(
    make="json_object",
    gather="json_group_array({0})",
    empty="json('[]')",
    stamp="{0}",  # stored as the text that is answered
    text="{0}",
    # Stored as whole cents. Of no rows there is no sum, and printf would make it zero.
    money="CASE WHEN {0} IS NOT NULL THEN printf('%d.%02d', {0} / 100, {0} % 100) END",
    parameter="?{0}",
    is_ordered=True,
)
POSTGRES = Dialect(
    make="json_build_object",
    gather="json_agg({0})",
    empty="'[]'::json",
    stamp='to_char({0}, \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')',
    text="{0}::text",
    money="{0}::text",
    parameter="${0}",
    is_ordered=True,
)
DUCKDB = Dialect(
    make="json_object",
    gather="to_json(list({0}))",
    empty="'[]'::JSON",
    stamp="strftime({0}, '%Y-%m-%dT%H:%M:%S.%gZ')",
    text="CAST({0} AS VARCHAR)",
    money="CAST({0} AS VARCHAR)",
    parameter="${0}",
    is_ordered=False,
)
