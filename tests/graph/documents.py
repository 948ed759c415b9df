"""Whole documents drawn at random, each with several sets of variables.

Fragments inline and named, merges of overlapping selections, aliases, @skip and @include, variables
with and without defaults, absent and null ones, pages from both ends, and mistakes on purpose.
The guard lets every document pass: whatever is drawn is asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from tests.graph.asking import AGGREGATES, literal, paths, wheres
from tests.graph.reference import KINDS, LIST_FIELDS

from firnline.graph.guard import DocumentLimits, DocumentTooLargeError, guarded

ASKED_TIMES = 3
LIMITS = DocumentLimits()
_DIRECTIONS = ("ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST")
_PREFIXES = {"Account": "a", "Deal": "d", "Ticket": "t"}
# The last digits of a deviation depend on the order of adding up: another test compares those.
_FUNCTIONS = tuple(name for name in AGGREGATES if name != "stddev")
# At most, by the form that a selection is dressed in: spreads, directives.
_ADDED = {0: (1, 0), 1: (1, 2), 2: (1, 2), 3: (2, 0), 4: (0, 2), 5: (0, 2)}
_TWICE = 6
Draw = Callable[[Any], Any]


@dataclass(frozen=True)
class Document:
    """A text, the variables to ask it with, and its root fields by response key."""

    text: str
    variables: tuple[Mapping[str, Any], ...]
    roots: Mapping[str, str]


@st.composite
def documents(draw: Any) -> Document:
    """Draw a document within the guard's limits."""
    document = drawn(draw)
    # What one selection holds twice, another may double again: that seldom comes to too much.
    assume(is_small(document))
    return document


def drawn(draw: Draw) -> Document:
    """Draw a document that is seldom over a limit."""
    return Drawing(random.Random(draw(st.integers(0, 2**32 - 1))), draw).document()


def is_small(document: Document) -> bool:
    """Say whether the guard lets it pass; any other refusal is a mistake of the drawing."""
    try:
        guarded(document.text, LIMITS)
    except DocumentTooLargeError:
        return False
    return True


@dataclass
class Drawing:
    """One document while it is drawn."""

    dice: random.Random
    draw: Draw
    declared: list[str] = field(default_factory=list)
    given: list[dict[str, Any]] = field(default_factory=lambda: [{} for _ in range(ASKED_TIMES)])
    fragments: list[str] = field(default_factory=list)
    switches: list[str] = field(default_factory=list)
    counted: int = 0
    spreads: int = 0
    directives: int = 0

    def document(self) -> Document:
        """Return the document."""
        roots = [self._root() for _ in range(self.dice.choice((1, 1, 2, 3)))]
        names = {key: name for key, name, _ in roots}
        texts = [f"{key}: {name}{rest}" for key, name, rest in roots]
        if self._chance(0.3):
            texts.append("__typename")
        selection = self._dressed("Query", texts)
        head = f"query Asked({', '.join(self.declared)})" if self.declared else "query Asked"
        text = "\n".join([f"{head} {{ {selection} }}", *self.fragments])
        return Document(text, tuple(self.given), names)

    # -- root fields ----------------------------------------------------------------------------

    def _root(self) -> tuple[str, str, str]:
        kind = self.dice.choice(list(KINDS))
        key = self._name("r")
        match self.dice.randrange(6):
            case 0:
                keys = self._keys(kind, ASKED_TIMES)
                value = self._variable("ID!", keys) if self._chance(0.7) else literal(keys[0])
                return key, kind.lower(), f"(id: {value}) {{ {self._record(kind, 2)} }}"
            case 1:
                several = [self._keys(kind, self.dice.randrange(5)) for _ in range(ASKED_TIMES)]
                value = self._variable("[ID!]!", several)
                name = f"{LIST_FIELDS[kind]}ByKey"
                return key, name, f"(keys: {value}) {{ {self._record(kind, 2)} }}"
            case _:
                return key, LIST_FIELDS[kind], self._list("", kind, 2)

    def _keys(self, kind: str, count: int) -> list[str]:
        width = 1 if kind == "Account" else 2
        drawn = [f"{_PREFIXES[kind]}{self.dice.randrange(1, 30):0{width}}" for _ in range(count)]
        return [each if self._chance(0.9) else "nowhere" for each in drawn]

    # -- lists ----------------------------------------------------------------------------------

    def _list(self, name: str, kind: str, depth: int) -> str:
        arguments = self._arguments(kind, depth)
        asked = f"({', '.join(arguments)})" if arguments else ""
        first = self._connection(kind, depth)
        return f"{name}{asked} {{ {first} }}"

    def _arguments(self, kind: str, depth: int) -> list[str]:
        found = []
        if self._chance(0.6):
            found.append(f"where: {self._where(kind)}")
        if self._chance(0.5):
            found.append(f"orderBy: {self._order(kind)}")
        found += self._window(depth)
        self.dice.shuffle(found)
        return found

    def _where(self, kind: str) -> str:
        if self._chance(0.05):
            return "{id: {eq: null}}"
        if self._chance(0.5):
            values = [self.draw(wheres(kind, 1)) for _ in range(ASKED_TIMES)]
            return self._variable(f"{kind}Where", values, nullable=True)
        return literal(self.draw(wheres(kind, 1)))

    def _order(self, kind: str) -> str:
        several = [self._orders(kind) for _ in range(ASKED_TIMES)]
        if self._chance(0.4):
            return self._variable(f"[{kind}OrderBy!]", several, nullable=True)
        return _order_literal(several[0])

    def _orders(self, kind: str) -> list[Any]:
        found = []
        for _ in range(self.dice.randrange(3)):
            value: Any = self.dice.choice(_DIRECTIONS)
            for step in reversed(self.draw(paths(kind, 1))):
                value = {step: value}
            found.append(value)
        return found

    def _window(self, depth: int) -> list[str]:
        name = self.dice.choice(("first", "first", "first", "last"))
        if self._chance(0.3):
            return []
        sizes = [self.dice.choice((0, 1, 2, 3, 5, 60 if depth else 7)) for _ in range(ASKED_TIMES)]
        if self._chance(0.1):
            sizes[self.dice.randrange(ASKED_TIMES)] = self.dice.choice((-1, 201))
        found = [f"{name}: {self._given('Int', sizes)}"]
        if self._chance(0.03):
            found.append(f"{self.dice.choice(('after', 'before'))}: {literal('nothing of ours')}")
        if self._chance(0.02):
            found.append(f"{'last' if name == 'first' else 'first'}: 2")
        return found

    def _connection(self, kind: str, depth: int) -> str:
        parts: list[str] = []
        for part in self.dice.sample(("nodes", "nodes", "edges", "count", "page", "sums"), 2):
            parts.append(self._part(part, kind, depth))
        if self._chance(0.2):
            parts.append(self.dice.choice(("__typename", f"{self._name('n')}: totalCount")))
        return self._dressed(f"{kind}Connection", parts)

    def _part(self, part: str, kind: str, depth: int) -> str:
        match part:
            case "nodes":
                alias = self.dice.choice(("", "", f"{self._name('n')}: "))
                return f"{alias}nodes {{ {self._record(kind, depth)} }}"
            case "edges":
                inner = [f"node {{ {self._record(kind, depth)} }}"]
                inner += ["__typename"] if self._chance(0.5) else []
                return f"edges {{ {self._dressed(f'{kind}Edge', inner)} }}"
            case "count":
                return "totalCount"
            case "page":
                names = ["hasNextPage", "hasPreviousPage", "more: hasNextPage", "__typename"]
                chosen = self.dice.sample(names, self._some(3))
                return f"pageInfo {{ {self._dressed('PageInfo', chosen)} }}"
            case _:
                return self._aggregate(kind)

    def _aggregate(self, kind: str) -> str:
        parts = ["count"]
        for function in self.dice.sample(_FUNCTIONS, self.dice.randrange(3)):
            names = [
                name
                for name, each in KINDS[kind].fields.items()
                if each[0] in AGGREGATES[function]
                and (function not in ("avg", "median") or each[0] in ("int", "float"))
            ]
            chosen = self.dice.sample(names, min(2, len(names)))
            dressed = [f"{self._alias(name)}{name}" for name in chosen]
            parts.append(f"{function} {{ {' '.join(dressed)} }}")
        return f"aggregate {{ {self._dressed(f'{kind}Aggregate', parts)} }}"

    # -- records --------------------------------------------------------------------------------

    def _record(self, kind: str, depth: int) -> str:
        names = self.dice.sample(list(KINDS[kind].fields), self._some(3))
        parts = [f"{self._alias(name)}{name}" for name in names]
        relations = list(KINDS[kind].relations.items())
        if depth and self._chance(0.6):
            for name, (target, many, _, _) in self.dice.sample(relations, 1):
                if many:
                    parts.append(f"{self._name('l')}: {self._list(name, target, depth - 1)}")
                    continue
                key = self._alias(name)
                parts.append(f"{key}{name} {{ {self._record(target, depth - 1)} }}")
                if self._chance(0.5):  # the same link again: both selections merge
                    parts.append(f"{key}{name} {{ {self._record(target, 0)} }}")
        if self._chance(0.2):
            parts.append("__typename")
        self.dice.shuffle(parts)
        return self._dressed(kind, parts)

    def _alias(self, name: str) -> str:
        """Return an alias that no other field of any type has, or none."""
        return self.dice.choice(("", "", "", f"x_{name}: ", f"{name}_again: "))

    # -- directives and fragments ---------------------------------------------------------------

    def _dressed(self, type_: str, parts: Sequence[str]) -> str:
        return " ".join(self._dress(type_, part) for part in parts)

    def _dress(self, type_: str, part: str) -> str:
        form = self.dice.randrange(14)
        return self._formed(form, type_, part) if self._has_room(form, part) else part

    def _has_room(self, form: int, part: str) -> bool:
        """Count what a form adds, and say whether the guard's limits leave room for it."""
        spreads, directives = _ADDED.get(form, (0, 0))
        if form == _TWICE:
            spreads, directives = part.count("...") + 1, part.count("@")
        if (
            self.spreads + spreads > LIMITS.spreads_max
            or self.directives + directives > LIMITS.directives_max
        ):
            return False
        self.spreads += spreads
        self.directives += directives
        return True

    def _formed(self, form: int, type_: str, part: str) -> str:
        match form:
            case 0:
                return f"... on {type_} {{ {part} }}"
            case 1:
                return f"... {self._directive()} {{ {part} }}"
            case 2:
                name = f"F{len(self.fragments)}"
                self.fragments.append(f"fragment {name} on {type_} {{ {part} }}")
                return f"...{name} {self._directive() if self._chance(0.5) else ''}"
            case 3:
                name = f"F{len(self.fragments)}"
                self.fragments.append(f"fragment {name} on {type_} {{ {part} }}")
                return f"... on {type_} {{ ...{name} }} ...{name}"
            case 4 | 5 if not part.endswith("}"):
                return f"{part} {self._directive()}"
            case _ if form == _TWICE:
                return f"{part} ... on {type_} {{ {part} }}"
            case _:
                return part

    def _directive(self) -> str:
        names = self.dice.choice((("include",), ("skip",), ("include", "skip")))
        return " ".join(f"@{name}(if: {self._switch()})" for name in names)

    def _switch(self) -> str:
        if self._chance(0.3):
            return self.dice.choice(("true", "false"))
        if len(self.switches) < 3:
            values = [self._chance(0.6) for _ in range(ASKED_TIMES)]
            self.switches.append(self._variable("Boolean!", values, default=self._chance(0.3)))
            return self.switches[-1]
        return self.dice.choice(self.switches)

    # -- variables ------------------------------------------------------------------------------

    def _given(self, type_: str, values: Sequence[Any]) -> str:
        if self._chance(0.5):
            return self._variable(type_, values, nullable=True)
        return literal(values[0])

    def _variable(
        self, type_: str, values: Sequence[Any], *, nullable: bool = False, default: bool = False
    ) -> str:
        name = self._name("v")
        has_default = default or (nullable and self._chance(0.2))
        written = _order_literal(values[0]) if "OrderBy" in type_ else literal(values[0])
        self.declared.append(f"${name}: {type_}" + (f" = {written}" if has_default else ""))
        for variables, value in zip(self.given, values, strict=True):
            if (nullable or has_default) and self._chance(0.1):
                continue  # absent: the default, or as if the argument were not there
            variables[name] = None if nullable and self._chance(0.05) else value
        return f"${name}"

    def _name(self, prefix: str) -> str:
        self.counted += 1
        return f"{prefix}{self.counted}"

    def _some(self, most: int) -> int:
        return self.dice.randrange(1, most + 1)

    def _chance(self, share: float) -> bool:
        return self.dice.random() < share


def _order_literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{key}: {_order_literal(each)}" for key, each in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_order_literal, value)) + "]"
    return str(value)
