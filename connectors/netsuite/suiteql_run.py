"""Evaluates a SuiteQL tree over tables of rows. Takes what one role may see, gives wire rows."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from .suiteql import (
    Call,
    Column,
    Compare,
    IsNull,
    Item,
    Literal,
    Logic,
    Node,
    Not,
    Select,
    Source,
    Star,
    SuiteQLError,
    Within,
)
from .suiteql_values import (
    Env,
    Evaluate,
    Row,
    apply,
    comparable,
    constant,
    like,
    nvl,
    to_char,
    to_timestamp,
    wire_text,
)

AGGREGATES = frozenset({"COUNT", "SUM", "MAX", "MIN", "AVG"})
_EMPTY: Row = {}
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass
class Table:
    """The rows of one table that one role sees, with the columns it may name.

    `hidden` columns exist but not for this role. Join indexes are kept while the table lives.
    """

    name: str
    rows: Sequence[Row]
    columns: frozenset[str]
    hidden: frozenset[str] = frozenset()
    _indexes: dict[str, Mapping[Any, Sequence[Row]]] = field(default_factory=dict)

    def index(self, column: str) -> Mapping[Any, Sequence[Row]]:
        """Return the rows by the value of `column`, nulls left out."""
        if column not in self._indexes:
            found: dict[Any, list[Row]] = defaultdict(list)
            for row in self.rows:
                if row.get(column) is not None:
                    found[row[column]].append(row)
            self._indexes[column] = found
        return self._indexes[column]


class Database(Protocol):
    """What a session can query."""

    timezone: str

    def table(self, name: str) -> Table:
        """Return the visible part of a table; raises SuiteQLError when there is none."""
        ...

    def display(self, table: str, column: str, value: Any) -> str | None:
        """Return the text that people see for a stored value (BUILTIN.DF)."""
        ...


@dataclass
class _Scope:
    """The tables of one query, and how its names resolve."""

    database: Database
    aliases: list[str]
    tables: list[Table]

    def resolve(self, column: Column) -> tuple[int, str]:
        places = [
            place
            for place, alias in enumerate(self.aliases)
            if column.table in ("", alias) and column.name in self.tables[place].columns
        ]
        if len(places) == 1:
            return places[0], column.name
        if places:
            raise SuiteQLError(f"Column '{column.name}' is ambiguous")
        if any(column.name in table.hidden for table in self.tables):
            raise SuiteQLError(f"Search error occurred: Field '{column.name}' not found.")
        raise SuiteQLError(f"Search error occurred: Unknown identifier '{column.name}'.")

    def compile(self, node: Node) -> Evaluate:
        match node:
            case Literal(value):
                return lambda env: value
            case Column():
                place, name = self.resolve(node)
                return lambda env: env[place].get(name)
            case Call():
                return self._call(node)
            case Compare():
                return self._compare(node)
            case Within():
                return self._within(node)
            case IsNull(operand):
                inner = self.compile(operand)
                return lambda env: inner(env) is None
            case Not(operand):
                negated = self.compile(operand)
                return lambda env: None if (found := negated(env)) is None else not found
            case Logic():
                return self._logic(node)
        raise SuiteQLError("Invalid or unsupported search: '*' is not an expression")

    def _logic(self, node: Logic) -> Evaluate:
        left, right = self.compile(node.left), self.compile(node.right)
        decisive = node.operator == "OR"

        def evaluate(env: Env) -> Any:
            first = left(env)
            if first is decisive:
                return decisive
            second = right(env)
            if second is decisive:
                return decisive
            return None if first is None or second is None else not decisive

        return evaluate

    def _compare(self, node: Compare) -> Evaluate:
        left, right = self.compile(node.left), self.compile(node.right)
        if node.operator == "LIKE":
            return like(left, right)
        compare = _COMPARE[node.operator]

        def evaluate(env: Env) -> Any:
            first, second = left(env), right(env)
            if first is None or second is None:
                return None
            if type(first) is not type(second):
                first, second = comparable(first, second)
            return compare(first, second)

        return evaluate

    def _within(self, node: Within) -> Evaluate:
        operand = self.compile(node.operand)
        values = {wire_text(constant(self.compile(value))) for value in node.values}

        def evaluate(env: Env) -> Any:
            found = operand(env)
            return None if found is None else wire_text(found) in values

        return evaluate

    def _call(self, node: Call) -> Evaluate:
        if node.name == "BUILTIN.DF":
            return self._display(node)
        args = [self.compile(argument) for argument in node.args]
        makers: Mapping[str, tuple[int, Callable[..., Evaluate]]] = {
            "TO_CHAR": (2, to_char),
            "TO_DATE": (2, to_timestamp),
            "TO_TIMESTAMP": (2, to_timestamp),
            "LOWER": (1, lambda value: apply(str.lower, value)),
            "UPPER": (1, lambda value: apply(str.upper, value)),
            "NVL": (2, nvl),
        }
        if node.name in AGGREGATES:
            raise SuiteQLError(f"Invalid or unsupported search: {node.name} is not allowed here")
        if node.name not in makers:
            raise SuiteQLError(f"Search error occurred: Unknown function '{node.name}'.")
        count, make = makers[node.name]
        if len(args) != count:
            raise SuiteQLError(f"Search error occurred: {node.name} takes {count} arguments.")
        return make(*args)

    def _display(self, node: Call) -> Evaluate:
        if len(node.args) != 1 or not isinstance(node.args[0], Column):
            raise SuiteQLError("Search error occurred: BUILTIN.DF takes one column.")
        place, name = self.resolve(node.args[0])
        table, display = self.tables[place].name, self.database.display
        return lambda env: display(table, name, env[place].get(name))


def _equality(node: Node, last: int, scope: _Scope) -> tuple[Node, str, Node | None] | None:
    """Split a join condition into (outer side, joined column, rest), for a hash join."""
    match node:
        case Logic("AND", Compare() as first, rest):
            found = _equality(first, last, scope)
            return None if found is None else (found[0], found[1], rest)
        case Compare("=", Column() as left, Column() as right):
            left_place, right_place = scope.resolve(left), scope.resolve(right)
            if right_place[0] == last > left_place[0]:
                return left, right_place[1], None
            if left_place[0] == last > right_place[0]:
                return right, left_place[1], None
    return None


def _join(envs: Iterable[Env], source: Source, place: int, scope: _Scope) -> list[Env]:
    table = scope.tables[place]
    assert source.on is not None
    split = _equality(source.on, place, scope)
    if split is None:
        raise SuiteQLError("Invalid or unsupported search: a join needs 'ON a.column = b.column'")
    outer, column, rest = split
    key, index = scope.compile(outer), table.index(column)
    keep = scope.compile(rest) if rest is not None else None
    found: list[Env] = []
    for env in envs:
        joined = [(*env, row) for row in index.get(key(env), ())]
        kept = joined if keep is None else [one for one in joined if keep(one)]
        found.extend(kept or ([(*env, _EMPTY)] if source.is_left else []))
    return found


def _outputs(items: Sequence[Item], scope: _Scope) -> list[tuple[str, Node]]:
    """Name every output column, `*` spelled out."""
    found: list[tuple[str, Node]] = []
    for item in items:
        if isinstance(item.node, Star):
            for alias, table in zip(scope.aliases, scope.tables, strict=True):
                if item.node.table in ("", alias):
                    found += [(name, Column(alias, name)) for name in sorted(table.columns)]
        elif isinstance(item.node, Column):
            found.append((item.alias or item.node.name, item.node))
        else:
            found.append((item.alias or f"expr{len(found) + 1}", item.node))
    return found


def _aggregate(node: Node, scope: _Scope) -> Callable[[Sequence[Env]], Any]:
    """Compile an output of a grouped query: an aggregate, or a value of the group."""
    if not (isinstance(node, Call) and node.name in AGGREGATES):
        single = scope.compile(node)
        return lambda envs: single(envs[0]) if envs else None
    if len(node.args) != 1:
        raise SuiteQLError(f"Search error occurred: {node.name} takes 1 argument.")
    if isinstance(node.args[0], Star):
        return len
    inner = scope.compile(node.args[0])
    folds: Mapping[str, Callable[[list[Any]], Any]] = {
        "COUNT": len,
        "SUM": sum,
        "MAX": max,
        "MIN": min,
        "AVG": lambda values: sum(values) / Decimal(len(values)),
    }
    fold, name = folds[node.name], node.name

    def evaluate(envs: Sequence[Env]) -> Any:
        values = [value for env in envs if (value := inner(env)) is not None]
        return fold(values) if values or name == "COUNT" else None

    return evaluate


def _grouped(
    query: Select, envs: Sequence[Env], outputs: list[tuple[str, Node]], scope: _Scope
) -> list[dict[str, Any]]:
    keys = [scope.compile(node) for node in query.group_by]
    groups: dict[tuple[Any, ...], list[Env]] = defaultdict(list)
    if not keys:
        groups[()] = []
    for env in envs:
        groups[tuple(key(env) for key in keys)].append(env)
    compiled = [(name, _aggregate(node, scope)) for name, node in outputs]
    return [_wire((name, fold(group)) for name, fold in compiled) for group in groups.values()]


def _wire(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"links": []}
    for name, value in values:
        if value is not None:
            row[name] = wire_text(value)
    return row


def _sorted(envs: list[Env], query: Select, scope: _Scope) -> list[Env]:
    """Order as Oracle does: nulls last when ascending, first when descending."""
    for node, is_descending in reversed(query.order_by):
        envs.sort(key=_nulls_last(scope.compile(node)), reverse=is_descending)
    return envs


def _nulls_last(value: Evaluate) -> Callable[[Env], tuple[bool, Any]]:
    return lambda env: ((found := value(env)) is None, 0 if found is None else found)


def _conjuncts(node: Node | None) -> list[Node]:
    if isinstance(node, Logic) and node.operator == "AND":
        return [*_conjuncts(node.left), *_conjuncts(node.right)]
    return [] if node is None else [node]


def _only_first(node: Any, scope: _Scope) -> bool:
    """Say whether an expression names columns of the first table alone."""
    match node:
        case Column():
            return scope.resolve(node)[0] == 0
        case tuple():
            return all(_only_first(one, scope) for one in node)
        case Call(_, args):
            return _only_first(args, scope)
        case Compare(_, left, right) | Logic(_, left, right):
            return _only_first((left, right), scope)
        case Within(operand) | IsNull(operand) | Not(operand):
            return _only_first(operand, scope)
    return True


def _envs(query: Select, scope: _Scope) -> list[Env]:
    """Return the rows of FROM that WHERE keeps; what the first table decides, it decides early."""
    conditions = _conjuncts(query.where)
    early = [node for node in conditions if _only_first(node, scope)]
    late = [node for node in conditions if node not in early]
    envs: list[Env] = [(row,) for row in scope.tables[0].rows]
    for keep in [scope.compile(node) for node in early]:
        envs = [env for env in envs if keep(env)]
    for place, joined in enumerate(query.sources[1:], start=1):
        envs = _join(envs, joined, place, scope)
    for keep in [scope.compile(node) for node in late]:
        envs = [env for env in envs if keep(env)]
    return envs


def run(query: Select, database: Database, *, offset: int, limit: int) -> tuple[list[Row], int]:
    """Return the wire rows of one page and the number of all rows; raises SuiteQLError."""
    if query.sources[0].table == "dual":
        return _dual(query, database)
    tables = [database.table(source.table) for source in query.sources]
    scope = _Scope(database, [source.alias for source in query.sources], tables)
    outputs = _outputs(query.items, scope)
    envs = _envs(query, scope)
    if query.group_by or any(isinstance(n, Call) and n.name in AGGREGATES for _, n in outputs):
        rows: list[Row] = list(_grouped(query, envs, outputs, scope))
        rows = rows[: query.fetch_first]
        return rows[offset : offset + limit], len(rows)
    envs = _sorted(envs, query, scope)[: query.fetch_first]
    compiled = [(name, scope.compile(node)) for name, node in outputs]
    page = envs[offset : offset + limit]
    return [_wire((name, get(env)) for name, get in compiled) for env in page], len(envs)


def _dual(query: Select, database: Database) -> tuple[list[Row], int]:
    row: dict[str, Any] = {"links": []}
    for place, item in enumerate(query.items, start=1):
        match item.node:
            case Column("", "sessiontimezone"):
                row[item.alias or f"expr{place}"] = database.timezone
            case Literal(value):
                row[item.alias or f"expr{place}"] = wire_text(value)
            case _:
                raise SuiteQLError("Search error occurred: Unknown identifier in FROM DUAL.")
    return [row], 1
