"""The hand-written SQL: one statement per case and database, whose answer is the JSON itself.

The answers have the members that the GraphQL targets give, so that no target has less to send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.read.cases import WIDE_FIELDS

Build = Callable[[str, Sequence[tuple[str, str]]], str]

_ACCOUNT = (
    ("id", "id"),
    ("name", "name"),
    ("segment", "segment"),
    ("revenue", "revenue:money"),
    ("createdAt", "created_at:stamp"),
)
_OPPORTUNITY = (
    ("id", "id"),
    ("name", "name"),
    ("stage", "stage"),
    ("amount", "amount:money"),
    ("closesOn", "closes_on:text"),
)
_TICKET = (
    ("id", "id"),
    ("subject", "subject"),
    ("status", "status"),
    ("priority", "priority"),
    ("createdAt", "created_at:stamp"),
)
_INVOICE = (
    ("id", "id"),
    ("number", "number"),
    ("amount", "amount:money"),
    ("status", "status"),
    ("dueOn", "due_on:text"),
)
_FORMS = {"day": ":text", "price": ":money"}
_WIDE = tuple((name, name + _FORMS.get(name.rstrip("0123456789"), "")) for name in WIDE_FIELDS)


class Dialect:
    """How one database spells JSON, texts of values and parameters."""

    def __init__(
        self,
        *,
        make: str,
        gather: str,
        empty: str,
        stamp: str,
        text: str,
        money: str,
        parameter: Callable[[int], str],
        by_account: bool,
    ) -> None:
        self.make = make
        self.gather = gather
        self.empty = empty
        self.stamp = stamp
        self.text = text
        self.money = money
        self.parameter = parameter
        self.by_account = by_account

    def record(self, alias: str, members: Sequence[tuple[str, str]], more: str = "") -> str:
        parts = []
        for name, source in members:
            column, _, form = source.partition(":")
            value = f"{alias}.{column}"
            if form:
                value = getattr(self, form).format(value)
            parts.append(f"'{name}', {value}")
        return f"{self.make}({', '.join(parts)}{more})"

    def listed(self, record: str, alias: str, inner: str, order: str) -> str:
        """Return a connection's JSON over the rows of `inner`, in order."""
        by = f" ORDER BY {alias}.{order}" if not self.by_account else ""
        gathered = self.gather.format(record + by)
        return (
            f"{self.make}('nodes', (SELECT coalesce({gathered}, {self.empty})"
            f" FROM ({inner}) AS {alias}))"
        )


SQLITE = Dialect(
    make="json_object",
    gather="json_group_array({0})",
    empty="json('[]')",
    stamp="{0}",  # stored as the text that is answered
    text="{0}",
    money="printf('%d.%02d', {0} / 100, {0} % 100)",  # stored as whole cents
    parameter=lambda number: f"?{number}",
    by_account=True,
)
POSTGRES = Dialect(
    make="json_build_object",
    gather="json_agg({0})",
    empty="'[]'::json",
    stamp='to_char({0}, \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')',
    text="{0}::text",
    money="{0}::text",
    parameter=lambda number: f"${number}",
    by_account=True,
)
DUCKDB = Dialect(
    make="json_object",
    gather="to_json(list({0}))",
    empty="'[]'::JSON",
    stamp="strftime({0}, '%Y-%m-%dT%H:%M:%S.%gZ')",
    text="CAST({0} AS VARCHAR)",
    money="CAST({0} AS VARCHAR)",
    parameter=lambda number: f"${number}",
    by_account=False,  # one window over all accounts is several times faster
)


def statements(dialect: Dialect) -> Mapping[str, str]:
    """Return the statement of each case; parameters are numbered in the variables' order."""
    one, two = dialect.parameter(1), dialect.parameter(2)

    def below(table: str, members: Sequence[tuple[str, str]], order: str, where: str = "") -> str:
        inner = (
            f"SELECT * FROM {table} WHERE {table}.account_id = a.id{where}"
            f" ORDER BY {order} DESC LIMIT 5"
        )
        letter = table[0]
        return dialect.listed(dialect.record(letter, members), letter, inner, f"{order} DESC")

    related = (
        f", 'opportunities', {below('opportunities', _OPPORTUNITY, 'amount')}"
        f", 'tickets', {below('tickets', _TICKET, 'created_at', ' AND status = ' + _OPEN)}"
        f", 'invoices', {below('invoices', _INVOICE, 'amount')}"
    )
    top = (
        f"SELECT * FROM accounts WHERE segment = {one} AND employees >= {two}"
        " ORDER BY revenue DESC LIMIT 50"
    )
    if dialect.by_account:
        record = dialect.record("a", _ACCOUNT, related)
        nested = dialect.listed(record, "a", top, "revenue DESC")
        prelude = ""
    else:
        prelude, nested = _windowed(dialect, top)
    wide = dialect.listed(
        dialect.record("s", _WIDE),
        "s",
        f"SELECT * FROM assets WHERE position >= {one} ORDER BY position LIMIT 200",
        "position",
    )

    def whole(member: str, value: str) -> str:
        return f"{dialect.make}('data', {dialect.make}('{member}', {value}))"

    point = f"(SELECT {dialect.record('a', _ACCOUNT)} FROM accounts AS a WHERE a.id = {one})"
    sums = ", ".join(
        f"'{name}', {dialect.make}('effort', {name}(effort))" for name in ("sum", "min", "max")
    )
    aggregate = (
        f"(SELECT {dialect.make}('aggregate', {dialect.make}('count', count(*), {sums}))"
        f" FROM tickets WHERE effort >= {one})"
    )
    return {
        "nested": f"{prelude}SELECT {whole('accounts', nested)}",
        "point": f"SELECT {whole('account', point)}",
        "wide": f"SELECT {whole('assets', wide)}",
        "aggregate": f"SELECT {whole('tickets', aggregate)}",
    }


def _windowed(dialect: Dialect, top: str) -> tuple[str, str]:
    """Return the nested question as one window per relation, joined to the accounts."""
    parts = [f"top AS MATERIALIZED ({top})"]
    joins, members = "", ""
    for table, fields, order, where in (
        ("opportunities", _OPPORTUNITY, "amount", ""),
        ("tickets", _TICKET, "created_at", f" AND status = {_OPEN}"),
        ("invoices", _INVOICE, "amount", ""),
    ):
        letter = table[0]
        gathered = dialect.gather.format(
            f"{dialect.record(letter, fields)} ORDER BY {letter}.{order} DESC"
        )
        parts.append(
            f"{table}_of AS MATERIALIZED (SELECT account_id, {gathered} AS found"
            f" FROM (SELECT * FROM {table} WHERE account_id IN (SELECT id FROM top){where}"
            " QUALIFY row_number() OVER (PARTITION BY account_id"
            f" ORDER BY {order} DESC) <= 5) AS {letter}"
            " GROUP BY account_id)"
        )
        joins += f" LEFT JOIN {table}_of ON {table}_of.account_id = a.id"
        listed = f"coalesce({table}_of.found, {dialect.empty})"
        members += f", '{table}', {dialect.make}('nodes', {listed})"
    record = dialect.record("a", _ACCOUNT, members)
    gathered = dialect.gather.format(f"{record} ORDER BY a.revenue DESC")
    whole = f"coalesce({gathered}, {dialect.empty})"
    return (
        f"WITH {', '.join(parts)} ",
        f"{dialect.make}('nodes', (SELECT {whole} FROM top AS a{joins}))",
    )


_OPEN = "'open'"
INDEXES = (
    "CREATE INDEX accounts_order ON accounts (segment, revenue DESC)",
    "CREATE INDEX opportunities_order ON opportunities (account_id, amount DESC)",
    "CREATE INDEX tickets_order ON tickets (account_id, status, created_at DESC)",
    "CREATE INDEX invoices_order ON invoices (account_id, amount DESC)",
    "CREATE INDEX assets_order ON assets (position)",
    "CREATE INDEX tickets_effort ON tickets (effort)",
)


def parameters(case: str, variables: Mapping[str, Any]) -> list[Any]:
    """Return a case's parameters in the statement's order."""
    order = {"nested": ("segment", "floor"), "point": ("id",)}.get(case, ("floor",))
    return [variables[name] for name in order]
