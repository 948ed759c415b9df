"""Parses SOQL: takes the query's text, gives `sandbox_query` a tree.

The part of the language that reads flat records: parent paths, semi-joins, aggregates, date
literals. Child sub-queries in SELECT, TYPEOF and FIELDS() are not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")

AGGREGATES = ("COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX")
_KEYWORDS = {"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "AND", "OR", "NOT"}
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:\\.|[^'\\])*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+\- ]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    | (?P<sign><=|>=|!=|<>|[=<>(),:])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}

LiteralKind = Literal["string", "number", "boolean", "null", "date", "datetime", "relative"]


class SoqlError(Exception):
    """A query that the org refuses: becomes a 400 with `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Column:
    """A field, or a way to one through parents: ("Account", "Owner", "Name")."""

    path: tuple[str, ...]
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over a column; COUNT() of everything has none."""

    function: str
    column: Column | None
    alias: str = ""


Operand = Column | Aggregate


@dataclass(frozen=True, slots=True)
class Value:
    """A literal. `amount` is the n of LAST_N_DAYS:n."""

    kind: LiteralKind
    text: str
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """operand = value, and its like; LIKE too."""

    operand: Operand
    sign: str
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """operand [NOT] IN (values) or (sub-select)."""

    operand: Operand
    negated: bool
    values: tuple[Value, ...]
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT condition."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by AND (every) or OR."""

    every: bool
    conditions: tuple[Condition, ...]


Condition = Comparison | Membership | Negation | Junction


@dataclass(frozen=True, slots=True)
class Ordering:
    """One key of ORDER BY."""

    operand: Operand
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed SELECT."""

    select: tuple[Operand, ...]
    source: str
    where: Condition | None = None
    group_by: tuple[Column, ...] = ()
    having: Condition | None = None
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> Query:
    """Return the tree of `text`; raises SoqlError with MALFORMED_QUERY."""
    parser = _Parser(_tokens(text))
    query = parser.query()
    parser.finish()
    return query


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None or match.lastgroup is None:
            raise _malformed(f"unexpected character at {position + 1}", position)
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return found


def _malformed(message: str, position: int) -> SoqlError:
    return SoqlError("MALFORMED_QUERY", f"\nERROR at Row:1:Column:{position + 1}\n{message}")


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def query(self) -> Query:
        self._expect("SELECT")
        select = [self._operand(alias=True)]
        while self._accept(","):
            select.append(self._operand(alias=True))
        self._expect("FROM")
        source = self._name(reserved=True)  # there are objects named Group and Order
        where = self._condition() if self._accept("WHERE") else None
        group_by: list[Column] = []
        if self._accept("GROUP"):
            self._expect("BY")
            group_by = [Column(tuple(name.split("."))) for name in self._list(self._name)]
        having = self._condition() if self._accept("HAVING") else None
        order_by: list[Ordering] = []
        if self._accept("ORDER"):
            self._expect("BY")
            order_by = self._list(self._ordering)
        limit = self._count() if self._accept("LIMIT") else None
        offset = self._count() if self._accept("OFFSET") else 0
        return Query(
            tuple(select), source, where, tuple(group_by), having, tuple(order_by), limit, offset
        )

    def finish(self) -> None:
        if self._next < len(self._tokens):
            raise self._unexpected()

    def _operand(self, *, alias: bool = False) -> Operand:
        name = self._name()
        if self._accept("("):
            if name.upper() not in AGGREGATES:
                raise self._unexpected()
            column = None if self._peek() == ")" else Column(tuple(self._name().split(".")))
            self._expect(")")
            return Aggregate(name.upper(), column, self._alias() if alias else "")
        return Column(tuple(name.split(".")), self._alias() if alias else "")

    def _alias(self) -> str:
        token = self._token()
        if token and token.kind == "name" and token.text.upper() not in _KEYWORDS:
            return self._name()
        return ""

    def _condition(self) -> Condition:
        first = self._term()
        for word, every in (("AND", True), ("OR", False)):
            if self._peek() == word:
                terms = [first]
                while self._accept(word):
                    terms.append(self._term())
                # SOQL refuses AND beside OR without parentheses.
                if self._peek() in ("AND", "OR"):
                    raise self._unexpected()
                return Junction(every, tuple(terms))
        return first

    def _term(self) -> Condition:
        if self._accept("NOT"):
            return Negation(self._term())
        if self._accept("("):
            inner = self._condition()
            self._expect(")")
            return inner
        operand = self._operand()
        negated = self._accept("NOT")
        if self._accept("IN"):
            return self._membership(operand, negated)
        if negated:
            raise self._unexpected()
        if self._accept("LIKE"):
            return Comparison(operand, "LIKE", self._value())
        token = self._token()
        if token is None or token.text not in ("=", "!=", "<>", "<", ">", "<=", ">="):
            raise self._unexpected()
        self._next += 1
        return Comparison(operand, token.text.replace("<>", "!="), self._value())

    def _membership(self, operand: Operand, negated: bool) -> Membership:
        self._expect("(")
        if self._peek() == "SELECT":
            query = self.query()
            self._expect(")")
            return Membership(operand, negated, (), query)
        values = tuple(self._list(self._value))
        self._expect(")")
        return Membership(operand, negated, values)

    def _value(self) -> Value:
        token = self._token()
        if token is None:
            raise self._unexpected()
        self._next += 1
        if token.kind == "string":
            return Value("string", _unescaped(token.text[1:-1]))
        if token.kind in ("number", "date", "datetime"):
            return Value(_literal_kind(token.kind), token.text)
        word = token.text.upper()
        if word in ("TRUE", "FALSE"):
            return Value("boolean", word.lower())
        if word == "NULL":
            return Value("null", "")
        if token.kind == "name" and word not in _KEYWORDS:
            return Value("relative", word, self._count() if self._accept(":") else 0)
        self._next -= 1
        raise self._unexpected()

    def _ordering(self) -> Ordering:
        operand = self._operand()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        nulls_last = False
        if self._accept("NULLS"):
            nulls_last = self._accept("LAST")
            if not nulls_last:
                self._expect("FIRST")
        return Ordering(operand, descending, nulls_last)

    def _list(self, item: Callable[[], T]) -> list[T]:
        items = [item()]
        while self._accept(","):
            items.append(item())
        return items

    def _count(self) -> int:
        token = self._token()
        if token is None or token.kind != "number" or not token.text.isdigit():
            raise self._unexpected()
        self._next += 1
        return int(token.text)

    def _name(self, *, reserved: bool = False) -> str:
        token = self._token()
        if token is None or token.kind != "name":
            raise self._unexpected()
        if not reserved and token.text.upper() in _KEYWORDS:
            raise self._unexpected()
        self._next += 1
        return token.text

    def _token(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _peek(self) -> str:
        token = self._token()
        return token.text.upper() if token and token.kind in ("name", "sign") else ""

    def _accept(self, word: str) -> bool:
        found = self._peek() == word
        self._next += found
        return found

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._unexpected()

    def _unexpected(self) -> SoqlError:
        token = self._token()
        if token is None:
            end = self._tokens[-1].position if self._tokens else 0
            return _malformed("unexpected token: <EOF>", end)
        return _malformed(f"unexpected token: '{token.text}'", token.position)


def _literal_kind(kind: str) -> LiteralKind:
    if kind == "number":
        return "number"
    return "date" if kind == "date" else "datetime"


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
