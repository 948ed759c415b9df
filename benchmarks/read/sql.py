"""The hand-written SQL: one statement per case and database, whose answer is the JSON itself.

The answers have the members that the GraphQL targets give, so that no target has less to send.
DuckDB has its own text where the one of the others would be several times slower there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.read.cases import CLOSES_UNTIL, PAID_BEFORE, TICKETS_OVER, WIDE_FIELDS
from benchmarks.read.dialects import DUCKDB, NODES_MAX, Dialect, Members

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
_CHILDREN: tuple[tuple[str, Members, str, str], ...] = (
    ("opportunities", _OPPORTUNITY, "amount", ""),
    ("tickets", _TICKET, "created_at", "status = 'open'"),
    ("invoices", _INVOICE, "amount", ""),
)
_ASKED_TICKET = (("subject", "subject"), ("priority", "priority"))

INDEXES = (
    "CREATE INDEX accounts_order ON accounts (segment, revenue DESC)",
    "CREATE INDEX accounts_size ON accounts (employees, id)",
    "CREATE INDEX opportunities_order ON opportunities (account_id, amount DESC)",
    "CREATE INDEX opportunities_stage ON opportunities (stage, amount DESC)",
    "CREATE INDEX tickets_order ON tickets (account_id, status, created_at DESC)",
    "CREATE INDEX invoices_order ON invoices (account_id, amount DESC)",
    "CREATE INDEX invoices_status ON invoices (account_id, status, due_on)",
    "CREATE INDEX assets_order ON assets (position)",
    "CREATE INDEX tickets_effort ON tickets (effort)",
    "CREATE INDEX tickets_groups ON tickets (status, priority, effort)",
)


def parameters(case: str, variables: Mapping[str, Any]) -> list[Any]:
    """Return a case's parameters in the statement's order."""
    order = {"nested": ("segment", "floor"), "point": ("id",)}.get(case, ("floor",))
    return [variables[name] for name in order]


def statements(dialect: Dialect) -> Mapping[str, str]:
    """Return the statement of each case; parameters are numbered in the variables' order."""
    nested = _nested_of_duckdb if dialect is DUCKDB else _nested
    return {
        "nested": nested(dialect, _top(dialect), ("revenue DESC",)),
        "spread": nested(dialect, _next(dialect), ("employees", "id")),
        "point": _point(dialect),
        "wide": _wide(dialect),
        "aggregate": _aggregate(dialect),
        "group": _group(dialect),
        "question": _question(dialect),
    }


def _whole(dialect: Dialect, member: str, value: str) -> str:
    return f"SELECT {dialect.make}('data', {dialect.make}('{member}', {value}))"


def _top(dialect: Dialect) -> str:
    one, two = dialect.parameter.format(1), dialect.parameter.format(2)
    return (
        f"SELECT * FROM accounts WHERE segment = {one} AND employees >= {two}"
        " ORDER BY revenue DESC LIMIT 50"
    )


def _next(dialect: Dialect) -> str:
    one = dialect.parameter.format(1)
    return f"SELECT * FROM accounts WHERE employees >= {one} ORDER BY employees, id LIMIT 50"


def _below(dialect: Dialect, table: str, members: Members, order: str, where: str) -> str:
    only = f" AND {where}" if where else ""
    inner = (
        f"SELECT * FROM {table} WHERE {table}.account_id = a.id{only}"
        f" ORDER BY {order} DESC LIMIT {NODES_MAX}"
    )
    letter = table[0]
    return dialect.listed(dialect.record(letter, members), letter, inner, f"{order} DESC")


def _nested(dialect: Dialect, top: str, order: Sequence[str]) -> str:
    related = "".join(
        f", '{table}', {_below(dialect, table, members, order, where)}"
        for table, members, order, where in _CHILDREN
    )
    record = dialect.record("a", _ACCOUNT, related)
    listed = dialect.listed(record, "a", top, ", a.".join(order))
    return _whole(dialect, "accounts", listed)


def _nested_of_duckdb(dialect: Dialect, top: str, order: Sequence[str]) -> str:
    """Return the nested question as DuckDB answers it fastest.

    `max_by(..., 5)` is a cheaper plan than a window, structures are turned into JSON once, and a
    limit between the key and other conditions keeps the scan on the index of the key.
    """
    assert dialect is DUCKDB
    parts, joins, members = [f"top AS MATERIALIZED ({top})"], "", ""
    for table, fields, rank, where in _CHILDREN:
        only = f" WHERE {where}" if where else ""
        of_top = f"SELECT * FROM {table} WHERE account_id IN (SELECT id FROM top) LIMIT 1000000"
        parts.append(
            f"{table}_of AS (SELECT account_id,"
            f" max_by({_structure('r', fields)}, r.{rank}, {NODES_MAX}) AS found"
            f" FROM ({of_top}) AS r{only} GROUP BY account_id)"
        )
        joins += f" LEFT JOIN {table}_of ON {table}_of.account_id = a.id"
        members += f", {table}: {{nodes: coalesce({table}_of.found, [])}}"
    record = _structure("a", _ACCOUNT, members)
    by = ", ".join(f"a.{each}" for each in order)
    nodes = f"coalesce(list({record} ORDER BY {by}), [])"
    return (
        f"WITH {', '.join(parts)}"
        f" SELECT to_json({{data: {{accounts: {{nodes: {nodes}}}}}}}) FROM top AS a{joins}"
    )


def _structure(alias: str, members: Members, more: str = "") -> str:
    parts = [f"{name}: {DUCKDB.value(alias, source)}" for name, source in members]
    return f"{{{', '.join(parts)}{more}}}"


def _point(dialect: Dialect) -> str:
    one = dialect.parameter.format(1)
    found = f"(SELECT {dialect.record('a', _ACCOUNT)} FROM accounts AS a WHERE a.id = {one})"
    return _whole(dialect, "account", found)


def _wide(dialect: Dialect) -> str:
    one = dialect.parameter.format(1)
    inner = f"SELECT * FROM assets WHERE position >= {one} ORDER BY position LIMIT 200"
    listed = dialect.listed(dialect.record("s", _WIDE), "s", inner, "position")
    return _whole(dialect, "assets", listed)


def _aggregate(dialect: Dialect) -> str:
    sums = ", ".join(
        f"'{name}', {dialect.make}('effort', {name}(effort))" for name in ("sum", "min", "max")
    )
    found = (
        f"(SELECT {dialect.make}('aggregate', {dialect.make}('count', count(*), {sums}))"
        f" FROM tickets WHERE effort >= {dialect.parameter.format(1)})"
    )
    return _whole(dialect, "tickets", found)


def _group(dialect: Dialect) -> str:
    make = dialect.make
    groups = (
        "SELECT status, priority, count(*) AS found, sum(effort) AS total FROM tickets"
        f" WHERE effort >= {dialect.parameter.format(1)}"
        " GROUP BY status, priority ORDER BY status, priority"
    )
    record = (
        f"{make}('key', {make}('status', g.status, 'priority', g.priority),"
        f" 'aggregate', {make}('count', g.found, 'sum', {make}('effort', g.total)))"
    )
    found = dialect.gathered(record, "g.status, g.priority")
    return _whole(dialect, "tickets", f"{make}('groupBy', (SELECT {found} FROM ({groups}) AS g))")


def _question(dialect: Dialect) -> str:
    make = dialect.make
    tickets = _below(dialect, "tickets", _ASKED_TICKET, "created_at", "status = 'open'")
    total = dialect.money.format("sum(i.amount)")
    due = (
        f"(SELECT {make}('aggregate',"
        f" {make}('count', count(*), 'sum', {make}('amount', {total})))"
        " FROM invoices AS i WHERE i.account_id = a.id AND i.status = 'overdue')"
    )
    account = (
        f"{make}('name', a.name, 'segment', a.segment, 'region', a.region,"
        f" 'tickets', {tickets}, 'invoices', {due})"
    )
    record = dialect.record("o", _OPPORTUNITY[1:], f", 'account', {account}")
    found = dialect.gathered(record, "o.amount DESC")
    joined = f"({_at_risk(dialect)}) AS o JOIN accounts AS a ON a.id = o.account_id"
    return _whole(dialect, "opportunities", f"{make}('nodes', (SELECT {found} FROM {joined}))")


def _at_risk(dialect: Dialect) -> str:
    """Return the opportunities asked for.

    The others walk them by amount and test each until there are enough; DuckDB hashes.
    """
    one = dialect.parameter.format(1)
    if dialect is DUCKDB:
        large = f"p.account_id IN (SELECT id FROM accounts WHERE employees >= {one})"
        noisy = (
            "p.account_id IN (SELECT account_id FROM tickets WHERE status = 'open'"
            f" GROUP BY account_id HAVING count(*) > {TICKETS_OVER})"
        )
        silent = (
            "p.account_id IN (SELECT account_id FROM invoices WHERE status = 'paid'"
            f" GROUP BY account_id HAVING max(due_on) < '{PAID_BEFORE}')"
        )
    else:
        large = f"(SELECT a.employees FROM accounts AS a WHERE a.id = p.account_id) >= {one}"
        noisy = (
            "(SELECT count(*) FROM tickets AS t WHERE t.account_id = p.account_id"
            f" AND t.status = 'open') > {TICKETS_OVER}"
        )
        silent = (
            "(SELECT max(i.due_on) FROM invoices AS i WHERE i.account_id = p.account_id"
            f" AND i.status = 'paid') < '{PAID_BEFORE}'"
        )
    return (
        f"SELECT p.* FROM opportunities AS p WHERE p.stage = 'offered'"
        f" AND p.closes_on <= '{CLOSES_UNTIL}' AND {noisy} AND {silent} AND {large}"
        " ORDER BY p.amount DESC LIMIT 20"
    )
