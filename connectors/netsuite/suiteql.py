"""SuiteQL text -> syntax tree. Takes the `q` of a query call; `suiteql_run` evaluates the tree.

The subset that REST clients use: SELECT with aliases and functions, FROM with INNER and LEFT JOIN,
WHERE, GROUP BY, ORDER BY, FETCH FIRST n ROWS ONLY.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

IN_VALUES_MAX = 1000
NESTING_MAX = 60


class SuiteQLError(Exception):
    """The query is refused; the message is what NetSuite's `detail` would say of it."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, a number or NULL."""

    value: str | Decimal | int | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column, with the table alias it was qualified by ('' when it was not)."""

    table: str
    name: str


@dataclass(frozen=True, slots=True)
class Star:
    """`*`, `alias.*` or the argument of COUNT(*)."""

    table: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; the name is upper case."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`, operator one of = <> < <= > >= LIKE."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Within:
    """`operand IN (values)`."""

    operand: Node
    values: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    """`operand IS NULL`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT operand`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """`left AND right` or `left OR right`."""

    operator: str
    left: Node
    right: Node


Node = Literal | Column | Star | Call | Compare | Within | IsNull | Not | Logic


@dataclass(frozen=True, slots=True)
class Item:
    """One expression of the select list; `alias` is '' when none was given."""

    node: Node
    alias: str


@dataclass(frozen=True, slots=True)
class Source:
    """One table of FROM; `on` is None for the first one."""

    table: str
    alias: str
    is_left: bool = False
    on: Node | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """A whole query. `order_by` holds (expression, is_descending)."""

    items: tuple[Item, ...]
    sources: tuple[Source, ...]
    where: Node | None
    group_by: tuple[Node, ...]
    order_by: tuple[tuple[Node, bool], ...]
    fetch_first: int | None


_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark><=|>=|<>|!=|[=<>(),.*;-]))"
)
# fmt: off
_RESERVED = frozenset({
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "BETWEEN", "GROUP",
    "ORDER", "BY", "ASC", "DESC", "FETCH", "FIRST", "ROWS", "ONLY", "AS", "ON", "JOIN", "INNER",
    "LEFT", "OUTER", "LIMIT", "HAVING", "UNION",
})
# fmt: on


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise SuiteQLError(f"Invalid or unsupported search near '{text[position:][:20]}'")
        kind = match.lastgroup or ""
        found.append((kind, match.group(kind)))
        position = match.end()
    return found


class _Parser:
    """Recursive descent over the tokens of one query."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.position = 0
        self.depth = 0

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self.position + ahead
        return self.tokens[at] if at < len(self.tokens) else ("end", "")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self.position += 1
        return token

    def at(self, *words: str) -> bool:
        """Say whether the next tokens are these keywords or marks."""
        return all(self.peek(ahead)[1].upper() == word for ahead, word in enumerate(words))

    def take(self, *words: str) -> bool:
        """Consume these keywords or marks if they are next."""
        if not self.at(*words):
            return False
        self.position += len(words)
        return True

    def need(self, *words: str) -> None:
        if not self.take(*words):
            raise self.error(f"expected {' '.join(words)}")

    def error(self, why: str) -> SuiteQLError:
        near = self.peek()[1] or "end of query"
        return SuiteQLError(f"Invalid or unsupported search: {why} near '{near}'")

    def word(self) -> str:
        kind, value = self.next()
        if kind != "word":
            self.position -= 1
            raise self.error("expected a name")
        return value.lower()

    def select(self) -> Select:
        self.need("SELECT")
        items = [self.item()]
        while self.take(","):
            items.append(self.item())
        self.need("FROM")
        sources = self.sources()
        where = self.expression() if self.take("WHERE") else None
        group_by = self.group_by() if self.take("GROUP", "BY") else ()
        order_by = self.order_by() if self.take("ORDER", "BY") else ()
        fetch_first = self.fetch_first() if self.take("FETCH", "FIRST") else None
        self.take(";")
        if self.peek()[0] != "end":
            raise self.error("unexpected text")
        return Select(tuple(items), sources, where, group_by, order_by, fetch_first)

    def item(self) -> Item:
        node = self.operand()
        if self.take("AS"):
            return Item(node, self.word())
        kind, value = self.peek()
        if kind == "word" and value.upper() not in _RESERVED:
            return Item(node, self.word())
        return Item(node, "")

    def sources(self) -> tuple[Source, ...]:
        found = [self.source()]
        while True:
            if self.take("INNER", "JOIN") or self.take("JOIN"):
                found.append(self.joined(is_left=False))
            elif self.take("LEFT", "JOIN") or self.take("LEFT", "OUTER", "JOIN"):
                found.append(self.joined(is_left=True))
            else:
                return tuple(found)

    def source(self) -> Source:
        table = self.word()
        self.take("AS")
        kind, value = self.peek()
        named = kind == "word" and value.upper() not in _RESERVED
        return Source(table, self.word() if named else table)

    def joined(self, *, is_left: bool) -> Source:
        source = self.source()
        self.need("ON")
        return Source(source.table, source.alias, is_left, self.expression())

    def group_by(self) -> tuple[Node, ...]:
        nodes = [self.operand()]
        while self.take(","):
            nodes.append(self.operand())
        return tuple(nodes)

    def order_by(self) -> tuple[tuple[Node, bool], ...]:
        keys = [self.order_key()]
        while self.take(","):
            keys.append(self.order_key())
        return tuple(keys)

    def order_key(self) -> tuple[Node, bool]:
        node = self.operand()
        if self.take("DESC"):
            return node, True
        self.take("ASC")
        return node, False

    def fetch_first(self) -> int:
        kind, value = self.next()
        if kind != "number" or "." in value:
            raise self.error("expected a number of rows")
        self.need("ROWS", "ONLY")
        return int(value)

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise self.error("nested too deeply")
        left = self.conjunction()
        while self.take("OR"):
            left = Logic("OR", left, self.conjunction())
        self.depth -= 1
        return left

    def conjunction(self) -> Node:
        left = self.negation()
        while self.take("AND"):
            left = Logic("AND", left, self.negation())
        return left

    def negation(self) -> Node:
        if self.take("NOT"):
            return Not(self.negation())
        return self.predicate()

    def predicate(self) -> Node:
        if self.take("("):
            inner = self.expression()
            self.need(")")
            return inner
        left = self.operand()
        negated = self.take("NOT")
        node = self.comparison(left)
        return Not(node) if negated else node

    def comparison(self, left: Node) -> Node:
        if self.take("IS", "NOT", "NULL"):
            return Not(IsNull(left))
        if self.take("IS", "NULL"):
            return IsNull(left)
        if self.take("IN"):
            return Within(left, self.values())
        if self.take("LIKE"):
            return Compare("LIKE", left, self.operand())
        if self.take("BETWEEN"):
            low = self.operand()
            self.need("AND")
            return Logic("AND", Compare(">=", left, low), Compare("<=", left, self.operand()))
        kind, operator = self.next()
        if kind != "mark" or operator not in ("=", "<>", "!=", "<", "<=", ">", ">="):
            self.position -= 1
            raise self.error("expected a comparison")
        return Compare("<>" if operator == "!=" else operator, left, self.operand())

    def values(self) -> tuple[Node, ...]:
        self.need("(")
        found = [self.operand()]
        while self.take(","):
            found.append(self.operand())
        self.need(")")
        if len(found) > IN_VALUES_MAX:
            raise SuiteQLError(f"an IN list may hold {IN_VALUES_MAX} values at most")
        return tuple(found)

    def operand(self) -> Node:
        kind, value = self.next()
        if kind == "string":
            return Literal(value[1:-1].replace("''", "'"))
        if kind == "number":
            return Literal(Decimal(value) if "." in value else int(value))
        if kind == "mark" and value == "*":
            return Star()
        if kind == "mark" and value == "-" and self.peek()[0] == "number":
            return Literal(-Decimal(self.next()[1]))
        if kind == "word" and value.upper() == "NULL":
            return Literal(None)
        if kind != "word" or value.upper() in _RESERVED:
            self.position -= 1
            raise self.error("expected an expression")
        return self.named(value)

    def named(self, first: str) -> Node:
        """Parse what follows a name: a call, a qualified column, or nothing."""
        if self.take("."):
            if self.take("*"):
                return Star(first.lower())
            second = self.word()
            if self.at("("):
                return Call(f"{first}.{second}".upper(), self.arguments())
            return Column(first.lower(), second)
        if self.at("("):
            return Call(first.upper(), self.arguments())
        return Column("", first.lower())

    def arguments(self) -> tuple[Node, ...]:
        self.need("(")
        if self.take(")"):
            return ()
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise self.error("nested too deeply")
        found = [self.operand()]
        while self.take(","):
            found.append(self.operand())
        self.need(")")
        self.depth -= 1
        return tuple(found)


def parse(text: str) -> Select:
    """Return the tree of `text`; raises SuiteQLError."""
    return _Parser(text).select()
