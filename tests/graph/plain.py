"""The tests' world as an ordinary Strawberry schema: one resolver per field, one row at a time.

Takes rows and a person; tests execute generated operations on it and compare with the gateway.
Row-level meaning (rights, filters, order) is `reference.Reference`; everything that GraphQL decides
(merging, directives, variables, nulls, response order) is Strawberry's and graphql-core's own.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, NewType

import strawberry
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.unset import UNSET
from tests.graph.asking import AGGREGATES
from tests.graph.reference import KINDS, LIST_FIELDS, Reference, Refused, aggregate_type, shown
from tests.graph.world import CATALOGS, Row

DecimalText = NewType("DecimalText", str)
DateText = NewType("DateText", str)
MomentText = NewType("MomentText", str)
LongNumber = NewType("LongNumber", int)

SCALARS = {
    DecimalText: strawberry.scalar(name="Decimal"),
    DateText: strawberry.scalar(name="Date"),
    MomentText: strawberry.scalar(name="DateTime"),
    LongNumber: strawberry.scalar(name="Long"),
}
PAGE_MAX = 200
_NAMES: Mapping[str, str] = {
    "id": "strawberry.ID",
    "string": "str",
    "int": "int",
    "long": "LongNumber",
    "decimal": "DecimalText",
    "float": "float",
    "bool": "bool",
    "date": "DateText",
    "timestamp": "MomentText",
    "strings": "list[str]",
}
OPERATOR_INPUTS: Mapping[str, str] = {
    "id": "IDOperators",
    "string": "StringOperators",
    "int": "IntOperators",
    "long": "LongOperators",
    "decimal": "DecimalOperators",
    "float": "FloatOperators",
    "bool": "BooleanOperators",
    "date": "DateOperators",
    "timestamp": "DateTimeOperators",
    "strings": "StringListOperators",
}
_EQUAL = ("eq", "neq", "in", "notIn")
_ORDERED = ("lt", "lte", "gt", "gte")
_TEXT = (
    *("contains", "icontains", "startsWith", "istartsWith", "endsWith", "iendsWith", "ieq", "iin"),
    *("like", "ilike"),
)
AGGREGATE_TYPES = {
    "sum": "Sum",
    "avg": "Avg",
    "min": "Min",
    "max": "Max",
    "countDistinct": "CountDistinct",
    "stddev": "Statistics",
    "median": "Statistics",
}


class PlainError(Exception):
    """A refusal with the code that the gateway gives it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class View(Reference):
    """One person's view, which remembers what it worked out; rows do not change meanwhile.

    With `is_haunted`, lists and links that lead nowhere lead to a record without values: so every
    argument below them is looked at, as a plan looks at it.
    """

    is_haunted = False

    @cached_property
    def _seen(self) -> dict[str, list[Row]]:
        return {}

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], Any]:
        return {}

    def all_of(self, kind: str) -> list[Row]:
        if kind not in self._seen:
            self._seen[kind] = super().all_of(kind)
        return self._seen[kind]

    def value(self, kind: str, row: Row, name: str) -> Any:
        slot = (kind, row["id"], name)
        if slot not in self._values:
            self._values[slot] = super().value(kind, row, name)
        return self._values[slot]

    def ghost(self, kind: str) -> Row:
        """Return a record without values."""
        for catalog in CATALOGS.values():
            for found in catalog.objects:
                if found.name == KINDS[kind].source:
                    return {**dict.fromkeys(each.name for each in found.fields), "id": "ghost"}
        raise AssertionError(kind)

    def is_cut(self, kind: str, relation: str) -> bool:
        return self._is_cut(kind, relation)


@dataclass
class Node:
    """A record; every field is worked out when it is asked for."""

    _view: View
    _kind: str
    _row: Row

    def read(self, name: str) -> Any:
        kind, view = KINDS[self._kind], self._view
        if name in kind.fields:
            if view.hides(self._kind, name):
                return None
            return shown(kind.fields[name][0], view.value(self._kind, self._row, name))
        target = kind.relations[name][0]
        if view.is_cut(self._kind, name):
            return None
        found = sorted(view.related(self._kind, self._row, name), key=lambda each: each["id"])
        if not found and view.is_haunted:
            found = [view.ghost(target)]
        return Node(view, target, found[0]) if found else None

    def related(self, name: str) -> tuple[list[Row], bool]:
        """Return the records of a list relation, and whether its link may not be read."""
        if self._view.is_cut(self._kind, name):
            return [], True
        return self._view.related(self._kind, self._row, name), False


@dataclass
class Operands:
    """The values of one aggregate function."""

    _view: View
    _kind: str
    _rows: Sequence[Row]
    _function: str
    _is_cut: bool

    def read(self, name: str) -> Any:
        if self._is_cut:
            return 0 if self._function == "countDistinct" else None
        _checked(lambda: self._view._usable(self._kind, name))
        found = self._view.aggregated(self._kind, list(self._rows), self._function, name)
        return shown(aggregate_type(self._function, KINDS[self._kind].fields[name][0]), found)


@dataclass
class Aggregate:
    """All matching records of a connection, added up."""

    _view: View
    _kind: str
    _rows: Sequence[Row]
    _is_cut: bool

    def read(self, name: str) -> Any:
        if name == "count":
            return len(self._rows)
        return Operands(self._view, self._kind, self._rows, name, self._is_cut)


@dataclass
class Edge:
    """A record and its cursor."""

    cursor: str
    node: Node


@dataclass
class Standing:
    """Where a page stands."""

    hasNextPage: bool = False
    hasPreviousPage: bool = False
    startCursor: str | None = None
    endCursor: str | None = None


@dataclass
class Connection:
    """A page of a list; only what is asked for is worked out."""

    _view: View
    _kind: str
    _rows: Sequence[Row]
    _page: Sequence[Row] = ()
    _is_cut: bool = False
    pageInfo: Standing = field(default_factory=Standing)

    @property
    def nodes(self) -> list[Node]:
        page = self._page
        if not page and not self._is_cut and self._view.is_haunted:
            page = [self._view.ghost(self._kind)]
        return [Node(self._view, self._kind, row) for row in page]

    @property
    def edges(self) -> list[Edge]:
        return [Edge(node._row["id"], node) for node in self.nodes]

    @property
    def totalCount(self) -> int:
        return len(self._rows)

    @property
    def aggregate(self) -> Aggregate:
        return Aggregate(self._view, self._kind, self._rows, self._is_cut)


def _checked(check: Callable[[], Any]) -> Any:
    try:
        return check()
    except Refused:
        raise PlainError("not_readable") from None


def connection(
    view: View, kind: str, rows: Sequence[Row] | None, arguments: Mapping[str, Any]
) -> Connection:
    """Return the page that arguments ask for; raises PlainError."""
    given = {name: plain(value) for name, value in arguments.items()}
    first, last = given.get("first"), given.get("last")
    if first is not None and last is not None:
        raise PlainError("page_invalid")
    asked = first if last is None else last
    size = 20 if asked is None else asked
    if not 0 <= size <= PAGE_MAX:
        raise PlainError("page_size")
    order = [_steps(each) for each in given.get("orderBy") or ()]
    where = given.get("where") or {}
    if _has_null(where):
        raise PlainError("condition_invalid")
    ask = _Asked(kind, where, order)
    found = _checked(lambda: view.ordered(ask, rows))  # type: ignore[arg-type]
    kept = _after(found, given.get("after"))
    kept = _before(kept, given.get("before"))
    page = kept[:size] if last is None else kept[max(0, len(kept) - size) :]
    more = len(kept) > size
    info = Standing(
        given.get("before") is not None or (more and last is None),
        given.get("after") is not None or (more and last is not None),
        page[0]["id"] if page else None,
        page[-1]["id"] if page else None,
    )
    return Connection(view, kind, found, page, pageInfo=info)


@dataclass
class _Asked:
    kind: str
    where: Mapping[str, Any]
    order: Sequence[tuple[tuple[str, ...], str]]


def _after(rows: list[Row], cursor: str | None) -> list[Row]:
    return rows if cursor is None else rows[_place(rows, cursor) + 1 :]


def _before(rows: list[Row], cursor: str | None) -> list[Row]:
    return rows if cursor is None else rows[: _place(rows, cursor)]


def _place(rows: list[Row], cursor: str) -> int:
    places = [place for place, row in enumerate(rows) if row["id"] == cursor]
    if not places:
        raise PlainError("cursor_invalid")
    return places[0]


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


def _steps(order: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    steps: list[str] = []
    value: Any = order
    while isinstance(value, Mapping):
        ((name, value),) = value.items()
        steps.append(name)
    return tuple(steps), str(value)


def plain(value: Any) -> Any:
    """Return an argument as Strawberry made it in the form that the caller wrote."""
    if isinstance(value, Enum):
        return value.value
    definition = getattr(value, "__strawberry_definition__", None)
    if definition is not None:
        return {
            each.graphql_name: plain(getattr(value, each.python_name))
            for each in definition.fields
            if getattr(value, each.python_name) is not UNSET
        }
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


class PlainSchema(strawberry.Schema):
    """Strawberry's schema without its log: refusals are expected here."""

    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        """Leave errors to the test."""


class _Types:
    """Makes the schema's types; annotations name each other."""

    def __init__(self) -> None:
        # Strawberry looks annotations up in the module of a class: this is theirs.
        self._module = types.ModuleType(_MODULE)
        sys.modules[self._module.__name__] = self._module
        self.names: dict[str, Any] = self._module.__dict__
        self.names.update({"strawberry": strawberry, **{each.__name__: each for each in SCALARS}})

    def schema(self) -> strawberry.Schema:
        """Return the schema."""
        directions = ("ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST")
        direction = Enum("OrderDirection", {each: each for each in directions})  # type: ignore[misc]
        self.names["OrderDirection"] = strawberry.enum(direction)
        for type_, name in OPERATOR_INPUTS.items():
            self._input(name, _operators(type_))
        for kind in KINDS:
            self._inputs(kind)
        page_info = dict.fromkeys(("hasNextPage", "hasPreviousPage"), "bool")
        page_info |= dict.fromkeys(("startCursor", "endCursor"), "str | None")
        self._output("PageInfo", page_info)
        for kind in KINDS:
            self._outputs(kind)
        fields = [each for kind in KINDS for each in self._roots(kind)]
        query = self._type("Query", fields)
        config = StrawberryConfig(scalar_map=dict(SCALARS), default_resolver=_read)
        # Each document is asked six times: it need not be validated as often.
        caches = [lambda: ParserCache(maxsize=8), lambda: ValidationCache(maxsize=8)]
        return PlainSchema(query, config=config, extensions=caches)

    def _inputs(self, kind: str) -> None:
        where = {n: f"{OPERATOR_INPUTS[each[0]]} | None" for n, each in KINDS[kind].fields.items()}
        order = {n: "OrderDirection | None" for n, e in KINDS[kind].fields.items() if _sorts(e[0])}
        for name, (target, many, _, _) in KINDS[kind].relations.items():
            list_ = "List" if many else ""
            where[name] = f"{target}{list_}Where | None"
            order[name] = f"{target}{list_}OrderBy | None"
        where |= dict.fromkeys(("and", "or"), f"list[{kind}Where] | None")
        self._input(f"{kind}Where", {**where, "not": f"{kind}Where | None"})
        self._input(f"{kind}OrderBy", order)
        some = dict.fromkeys(("some", "none", "every", "where"), f"{kind}Where | None")
        self._input(f"{kind}ListWhere", {**some, "aggregate": f"{kind}AggregateWhere | None"})
        self._input(f"{kind}ListOrderBy", {"aggregate": f"{kind}AggregateOrderBy"})
        wheres, orders = {"count": "IntOperators | None"}, {"count": "OrderDirection | None"}
        for function in AGGREGATES:
            names = _operands(kind, function)
            where_type = f"{kind}{AGGREGATE_TYPES[function]}Where"
            types_ = {n: OPERATOR_INPUTS[aggregate_type(function, names[n])] for n in names}
            self._input(where_type, {n: f"{each} | None" for n, each in types_.items()})
            wheres[function] = f"{where_type} | None"
            shared = {"avg": "Sum", "stddev": "Sum", "median": "Sum", "max": "Min"}
            order_type = f"{kind}{shared.get(function, AGGREGATE_TYPES[function])}OrderBy"
            self._input(order_type, dict.fromkeys(names, "OrderDirection | None"))
            orders[function] = f"{order_type} | None"
        self._input(f"{kind}AggregateWhere", wheres)
        self._input(f"{kind}AggregateOrderBy", orders)

    def _outputs(self, kind: str) -> None:
        leaves = {n: f"{_NAMES[each[0]]} | None" for n, each in KINDS[kind].fields.items()}
        ones = {n: f"{each[0]} | None" for n, each in KINDS[kind].relations.items() if not each[1]}
        record = [_field(n, each) for n, each in {**leaves, **ones}.items()]
        record[0] = _field("id", "strawberry.ID")
        for name, each in KINDS[kind].relations.items():
            if each[1]:
                record.append(self._list_field(name, each[0], _related(each[0], name)))
        self._type(kind, record)
        self._output(f"{kind}Edge", {"cursor": "str", "node": kind})
        parts = {"nodes": f"list[{kind}]", "edges": f"list[{kind}Edge]", "pageInfo": "PageInfo"}
        parts |= {"totalCount": "int", "aggregate": f"{kind}Aggregate"}
        self._output(f"{kind}Connection", parts)
        functions = {"count": "int"}
        for function in AGGREGATES:
            names = _operands(kind, function)
            name = f"{kind}{AGGREGATE_TYPES[function]}"
            types_ = {n: _NAMES[aggregate_type(function, names[n])] for n in names}
            self._output(name, {n: f"{each} | None" for n, each in types_.items()})
            functions[function] = name
        self._output(f"{kind}Aggregate", functions)

    def _roots(self, kind: str) -> list[StrawberryField]:
        def one(info: Any, id: Any) -> Any:  # noqa: A002 - the argument's own name
            found = _found(info.context, kind, [id])[0]
            return Node(info.context, kind, info.context.ghost(kind)) if not found and (
                info.context.is_haunted
            ) else found  # fmt: skip

        def several(info: Any, keys: Any) -> Any:
            found = _found(info.context, kind, keys)
            if info.context.is_haunted:
                ghost = Node(info.context, kind, info.context.ghost(kind))
                return [each or ghost for each in found or [None]]
            return found

        def all_(_root: Any, info: Any, arguments: Mapping[str, Any]) -> Connection:
            return connection(info.context, kind, None, arguments)

        one.__annotations__ = {"info": strawberry.Info, "id": strawberry.ID}
        several.__annotations__ = {"info": strawberry.Info, "keys": list[strawberry.ID]}
        name = LIST_FIELDS[kind]
        return [
            self._list_field(name, kind, all_),
            _field(kind.lower(), f"{kind} | None", one),
            _field(f"{name}ByKey", f"list[{kind} | None]", several),
        ]

    def _list_field(self, name: str, kind: str, answer: Callable[..., Any]) -> StrawberryField:
        def resolve(
            self: Any,
            info: Any,
            where: Any = UNSET,
            orderBy: Any = UNSET,
            first: Any = UNSET,
            after: Any = UNSET,
            last: Any = UNSET,
            before: Any = UNSET,
        ) -> Any:
            given = {"where": where, "orderBy": orderBy, "first": first, "after": after}
            given |= {"last": last, "before": before}
            arguments = {key: value for key, value in given.items() if value is not UNSET}
            return answer(self, info, arguments)

        resolve.__annotations__ = {
            "info": strawberry.Info,
            "where": self.names[f"{kind}Where"] | None,
            "orderBy": list[self.names[f"{kind}OrderBy"]] | None,  # type: ignore[misc]
            **dict.fromkeys(("first", "last"), int | None),
            **dict.fromkeys(("after", "before"), str | None),
        }
        return _field(name, f"{kind}Connection", resolve)

    def _input(self, name: str, fields: Mapping[str, str]) -> None:
        made = [
            StrawberryField(
                graphql_name=each,
                metadata={"annotation": kind, "name": f"{each}_"},
                default=UNSET if kind.endswith("None") else _REQUIRED,
            )
            for each, kind in fields.items()
        ]
        self._type(name, made, is_input=True)

    def _output(self, name: str, fields: Mapping[str, str]) -> None:
        self._type(name, [_field(each, kind) for each, kind in fields.items()])

    def _type(self, name: str, fields: Sequence[StrawberryField], *, is_input: bool = False) -> Any:
        if name in self.names:  # several functions share the type of their operands
            return self.names[name]
        members: dict[str, Any] = {each.metadata["name"]: each for each in fields}
        members["__annotations__"] = {
            each.metadata["name"]: each.metadata["annotation"]
            for each in fields
            if "annotation" in each.metadata
        }
        members["__module__"] = self._module.__name__
        made = types.new_class(name, (), {}, lambda namespace: namespace.update(members))
        self.names[name] = strawberry.type(made, is_input=is_input)
        return self.names[name]


_MODULE = "tests.graph.plain_types"
_REQUIRED = StrawberryField().default


def _field(name: str, kind: str, resolve: Callable[..., Any] | None = None) -> StrawberryField:
    if resolve is None:
        return StrawberryField(graphql_name=name, metadata={"annotation": kind, "name": name})
    resolve.__annotations__["return"] = kind
    resolve.__module__ = _MODULE
    made = StrawberryField(graphql_name=name, base_resolver=StrawberryResolver(resolve))
    made.metadata = {"name": name}
    return made


def _related(target: str, name: str) -> Callable[..., Connection]:
    def answer(root: Node, info: Any, arguments: Mapping[str, Any]) -> Connection:
        rows, is_cut = root.related(name)
        if is_cut:
            return Connection(info.context, target, [], _is_cut=True)
        return connection(info.context, target, rows, arguments)

    return answer


def _found(view: View, kind: str, keys: Sequence[str]) -> list[Node | None]:
    rows = {row["id"]: row for row in view.all_of(kind)}
    return [Node(view, kind, rows[key]) if key in rows else None for key in keys]


def _read(source: Any, name: str) -> Any:
    if isinstance(source, Node | Operands | Aggregate):
        return source.read(name)
    return getattr(source, name)


def _operators(type_: str) -> dict[str, str]:
    value = f"{_NAMES[type_]} | None"
    if type_ == "strings":
        found = {"has": "str | None", "hasAny": "list[str] | None", "hasAll": "list[str] | None"}
        return {**found, "isEmpty": "bool | None", "isNull": "bool | None"}
    names = list(_EQUAL)
    if type_ == "bool":
        names = ["eq", "neq"]
    elif type_ != "id":
        names += _ORDERED
    names += _TEXT if type_ == "string" else ()
    lists = ("in", "notIn", "iin")
    found = {n: f"list[{_NAMES[type_]}] | None" if n in lists else value for n in names}
    return {**found, "isNull": "bool | None"}


def _operands(kind: str, function: str) -> dict[str, str]:
    fields = KINDS[kind].fields.items()
    return {name: each[0] for name, each in fields if each[0] in AGGREGATES[function]}


def _sorts(type_: str) -> bool:
    return type_ != "strings"


def plain_schema() -> strawberry.Schema:
    """Return the schema; its context is a `View`."""
    return _Types().schema()
