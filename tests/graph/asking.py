"""Operations drawn at random, and their GraphQL text."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from hypothesis import strategies as st
from tests.graph.reference import KINDS, Ask

_SORTABLE = {
    kind: [n for n, f in k.fields.items() if f[0] != "strings"] for kind, k in KINDS.items()
}
_DIRECTION = st.sampled_from(("ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST"))
_WORDS = (
    "Alp",
    "alp",
    "o'Neil",
    'quote"d',
    "50%",
    "%",
    "_",
    "",
    "\\",
    "日本",
    "a\0b",
    "north",
    "x;--",
    "p",
)
_PATTERNS = st.sampled_from(
    (
        "%",
        "",
        "_lp",
        "A%",
        "%P",
        "%o%e%",
        "a_b",
        r"50\%",
        "%\\_%",
        "日_",
        "x;-_",
        "ä%",
        "[a]lp",
        ".*",
    )
)
_STAMPS = ("2026-11-22T12:00:00Z", "2026-11-20T11:59:59.999998Z", "2026-11-21T13:00:00+01:00")
OPERANDS: Mapping[str, Any] = {
    "id": ("a1", "a2", "a7", "d03", "t04", "x"),
    "string": _WORDS,
    "int": (-1, 0, 2, 3, 5),
    "long": (0, 7, 2**53 + 1, "9007199254740993", -(2**53) - 3),
    "decimal": ("0", "1.25", "6.250", -1, 12.5, "1E+1", "18.749999999"),
    "float": (0, 0.25, -0.5, 1.0),
    "bool": (True, False),
    "date": ("2026-09-05", "2026-11-20", "2005-06-01"),
    "timestamp": _STAMPS,
}
_ENUMS = {
    ("Account", "segment"): ("enterprise", "small", "other"),
    ("Ticket", "priority"): ("high", "low", "normal"),
}
_ORDERED = ("lt", "lte", "gt", "gte")
_TEXT = (
    *("contains", "icontains", "startsWith", "endsWith", "ieq", "iin", "istartsWith", "iendsWith"),
    *("like", "ilike"),
)
AGGREGATES = {
    "sum": ("int", "long", "decimal", "float"),
    "avg": ("int", "long", "decimal", "float"),
    "min": ("int", "long", "decimal", "float", "date", "timestamp", "string"),
    "max": ("int", "long", "decimal", "float", "date", "timestamp", "string"),
    "countDistinct": (
        *("int", "long", "decimal", "float", "date", "timestamp", "string", "id", "bool"),
    ),
    "stddev": ("int", "long", "decimal", "float"),
    "median": ("int", "long", "decimal", "float"),
}


def _aggregate_type(function: str, type_: str) -> str:
    if function in ("avg", "stddev", "median"):
        return "float"
    if function == "countDistinct":
        return "int"
    return {"int": "long", "long": "decimal"}.get(type_, type_) if function == "sum" else type_


@st.composite
def operators(draw: Any, type_: str, words: Sequence[Any] = ()) -> dict[str, Any]:
    """Draw one or two operators of a type."""
    operands = st.sampled_from(words or OPERANDS.get(type_, _WORDS))
    found: dict[str, Any] = {}
    for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
        if type_ == "strings":
            name = draw(st.sampled_from(("has", "hasAny", "hasAll", "isNull", "isEmpty")))
        else:
            names = ["eq", "neq", "in", "notIn", "isNull"]
            names += _ORDERED if type_ not in ("id", "bool") else ()
            names += _TEXT if type_ == "string" else ()
            if type_ == "bool":
                names = ["eq", "neq", "isNull"]
            name = draw(st.sampled_from(names))
        if name in ("isNull", "isEmpty"):
            found[name] = draw(st.booleans())
        elif name in ("in", "notIn", "iin", "hasAny", "hasAll"):
            found[name] = draw(st.lists(operands, max_size=3))
        else:
            found[name] = draw(_PATTERNS if name in ("like", "ilike") else operands)
    return found


@st.composite
def wheres(draw: Any, kind: str, depth: int = 2) -> dict[str, Any]:
    """Draw a filter of an object."""
    found: dict[str, Any] = {}
    for _ in range(draw(st.sampled_from((0, 1, 1, 2)))):
        choice = draw(st.sampled_from(("field", "field", "field", "relation", "and", "or", "not")))
        if depth == 0 or choice == "field":
            name = draw(st.sampled_from(list(KINDS[kind].fields)))
            words = _ENUMS.get((kind, name), ())
            found[name] = draw(operators(KINDS[kind].fields[name][0], words))
        elif choice == "relation":
            name = draw(st.sampled_from(list(KINDS[kind].relations)))
            target, many, _, _ = KINDS[kind].relations[name]
            inner = wheres(target, depth - 1)
            found[name] = draw(list_wheres(target, depth - 1)) if many else draw(inner)
        elif choice == "not":
            found["not"] = draw(wheres(kind, depth - 1))
        else:
            found[choice] = draw(st.lists(wheres(kind, depth - 1), max_size=3))
    return found


@st.composite
def list_wheres(draw: Any, kind: str, depth: int) -> dict[str, Any]:
    """Draw a filter on a to-many relation."""
    if draw(st.booleans()):
        return {draw(st.sampled_from(("some", "none", "every"))): draw(wheres(kind, depth))}
    function = draw(st.sampled_from(("count", "count", *AGGREGATES)))
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        found["where"] = draw(wheres(kind, depth))
    if function == "count":
        found["aggregate"] = {"count": draw(operators("int"))}
        return found
    name = draw(st.sampled_from(_operands(kind, function)))
    type_ = _aggregate_type(function, KINDS[kind].fields[name][0])
    found["aggregate"] = {function: {name: draw(operators(type_))}}
    return found


def _operands(kind: str, function: str) -> list[str]:
    words = [name for owner, name in _ENUMS if owner == kind]
    return [
        name
        for name, each in KINDS[kind].fields.items()
        if each[0] in AGGREGATES[function] and name not in words
    ]


@st.composite
def asks(draw: Any, kinds: Sequence[str] = tuple(KINDS), depth: int = 2) -> Ask:
    """Draw a list field with everything below it."""
    kind = draw(st.sampled_from(kinds))
    relations = KINDS[kind].relations
    names = list(KINDS[kind].fields)
    order = draw(st.lists(st.sampled_from(_SORTABLE[kind]), max_size=2, unique=True))
    ones = [name for name, each in relations.items() if not each[1]]
    lists = [name for name, each in relations.items() if each[1]]
    totals = None
    if draw(st.booleans()):
        totals = {
            function: draw(
                st.lists(
                    st.sampled_from(_operands(kind, function)), min_size=1, max_size=2, unique=True
                )
            )
            for function in draw(
                st.lists(st.sampled_from(list(AGGREGATES)), max_size=2, unique=True)
            )
        }
    return Ask(
        kind=kind,
        where=draw(wheres(kind, 2 if depth == 2 else 1)),
        order=[
            (draw(paths(kind)) if draw(st.integers(0, 3)) == 0 else name, draw(_DIRECTION))
            for name in order
        ],
        first=draw(st.sampled_from((None, 0, 1, 3, 200))),
        leaves=draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)),
        ones={
            name: draw(
                st.lists(
                    st.sampled_from(list(KINDS[relations[name][0]].fields)),
                    min_size=1,
                    max_size=2,
                    unique=True,
                )
            )
            for name in (draw(st.lists(st.sampled_from(ones), max_size=1)) if ones else ())
        },
        lists={
            name: draw(asks((relations[name][0],), depth - 1))
            for name in (
                draw(st.lists(st.sampled_from(lists), max_size=1)) if lists and depth else ()
            )
        },
        totals=totals,
    )


@st.composite
def paths(draw: Any, kind: str, depth: int = 2) -> tuple[str, ...]:
    """Draw a way to what is sorted by: over relations to a field, or to an aggregate."""
    name = draw(st.sampled_from([*_SORTABLE[kind], *(KINDS[kind].relations if depth else ())]))
    if name in KINDS[kind].fields:
        return (name,)
    target, many, _, _ = KINDS[kind].relations[name]
    if not many:
        return (name, *draw(paths(target, depth - 1)))
    function = draw(st.sampled_from(("count", "count", "sum", "max", "countDistinct")))
    if function == "count":
        return (name, "aggregate", "count")
    return (name, "aggregate", function, draw(st.sampled_from(_operands(target, function))))


class Writer:
    """Writes an Ask as GraphQL, dressed with fragments, aliases and directives at random."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self.fragments: list[str] = []

    def operation(self, ask: Ask, field: str) -> str:
        """Return a whole document that answers `ask` under the key `answer`."""
        root = f"... @include(if: $yes) {{ answer: {self.connection(ask, field)} }}"
        body = f"query Ask($yes: Boolean! = true) {{ {root} }}"
        return "\n".join([body, *self.fragments])

    def asked(self, ask: Ask, field: str, after: str | None = None) -> str:
        """Return a list field with its arguments, without a selection."""
        arguments = {"where": literal(ask.where)} if ask.where or self._draw.random() < 0.5 else {}
        if ask.order:
            arguments["orderBy"] = "[" + ", ".join(_nested(n, d) for n, d in ask.order) + "]"
        if ask.first is not None:
            arguments["first"] = str(ask.first)
        if after is not None:
            arguments["after"] = literal(after)
        given = ", ".join(f"{name}: {value}" for name, value in arguments.items())
        return f"{field}{f'({given})' if given else ''}"

    def connection(self, ask: Ask, field: str) -> str:
        """Return a list field with everything that is asked of it."""
        parts = ["__typename", "totalCount", "pageInfo { hasNextPage hasPreviousPage }"]
        parts.append(f"nodes {{ {self._node(ask)} }}")
        if ask.totals is not None:
            inner = [f"{f} {{ {' '.join(names)} }}" for f, names in ask.totals.items()]
            parts.append(f"aggregate {{ count {' '.join(inner)} }}")
        selection = self._dressed(f"{ask.kind}Connection", parts)
        return f"{self.asked(ask, field)} {{ {selection} }}"

    def _node(self, ask: Ask) -> str:
        parts = ["__typename", *ask.leaves]
        parts += [f"{name} {{ {' '.join(leaves)} }}" for name, leaves in ask.ones.items()]
        parts += [f"{name}: {self.connection(inner, name)}" for name, inner in ask.lists.items()]
        return self._dressed(ask.kind, parts)

    def _dressed(self, type_: str, parts: Sequence[str]) -> str:
        return " ".join(self._dress(type_, part) for part in parts)

    def _dress(self, type_: str, part: str) -> str:
        match self._draw.randrange(10):
            case 0:
                return f"... on {type_} {{ {part} }}"
            case 1:
                return f"... @include(if: $yes) {{ {part} }}"
            case 2:
                name = f"F{len(self.fragments)}"
                self.fragments.append(f"fragment {name} on {type_} {{ {part} }}")
                return f"...{name} @skip(if: false)"
            case 3:
                return f"{part} hidden: __typename @skip(if: $yes)"
            case _:
                return part


def _nested(path: str | tuple[str, ...], direction: str) -> str:
    steps = [path] if isinstance(path, str) else path
    return "".join(f"{{{step}: " for step in steps) + direction + "}" * len(steps)


def literal(value: Any) -> str:
    """Return a value as a GraphQL literal."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    return orjson.dumps(value).decode()
