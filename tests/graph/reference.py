"""The answer worked out in plain Python, row by row: what the SQL must agree with.

Takes raw rows, a person's rights and an operation as data; tests compare with the gateway's JSON.
Written for clarity alone: no plan, no batches, nothing shared with the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cmp_to_key
from statistics import median, stdev
from typing import Any

from tests.graph.world import PEOPLE, Row, Rows

from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    ObjectAccess,
    RowRule,
    Via,
    ViaChild,
)

REFERENCES = {
    ("accounts", "owner_id"): "users",
    ("accounts", "parent_id"): "accounts",
    ("deals", "account_id"): "accounts",
    ("deals", "owner_id"): "users",
}
CONNECTION = {"accounts": "crm", "deals": "crm", "users": "crm", "tickets": "desk"}
Read = Callable[[str], Any]


def _words(given: Mapping[str, str], otherwise: str | None, *, keep: bool = False) -> Any:
    def word(value: Any) -> Any:
        if value is None:
            return None
        return given.get(value, value if keep else otherwise)

    return word


def _priority(tags: Any) -> str:
    held = tags or []
    return "high" if "urgent" in held else "low" if "later" in held else "normal"


def _is_key(read: Read) -> bool:
    tier, rating = read("tier"), read("rating")
    return tier == "A" and rating is not None and rating >= 3


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


_SEGMENT = _words({"A": "enterprise", "B": "small"}, "other")
_STAGE = _words({"1": "open", "9": "won"}, None, keep=True)


@dataclass(frozen=True)
class Kind:
    """One object of the builder: fields are (type, how to read it, what it reads)."""

    source: str
    fields: Mapping[str, tuple[str, Callable[[Read], Any], tuple[str, ...]]]
    relations: Mapping[str, tuple[str, bool, str, str]]
    counts: Callable[[Row], bool] = lambda _row: True


def _plain(**sources: tuple[str, str]) -> dict[str, Any]:
    def reading(path: str) -> Callable[[Read], Any]:
        return lambda read: read(path)

    return {name: (kind, reading(path), (path,)) for name, (kind, path) in sources.items()}


KINDS: Mapping[str, Kind] = {
    "Account": Kind(
        "accounts",
        {
            **_plain(
                id=("id", "id"),
                name=("string", "name"),
                region=("string", "region"),
                revenue=("decimal", "revenue"),
                rating=("int", "rating"),
                isActive=("bool", "active"),
                createdAt=("timestamp", "created"),
                foundedOn=("date", "founded"),
                labels=("strings", "tags"),
                parentId=("id", "parent_id"),
                ownerName=("string", "owner_id.name"),
                legacyNo=("string", "legacy_no"),
            ),
            "segment": ("string", lambda read: _SEGMENT(read("tier")), ("tier",)),
            "isKey": ("bool", _is_key, ("tier", "rating")),
            "contactName": (
                "string",
                lambda read: _first(read("nickname"), read("owner_id.name")),
                ("nickname", "owner_id.name"),
            ),
            "origin": ("string", lambda _read: "crm", ()),
        },
        {
            "deals": ("Deal", True, "id", "accountId"),
            "tickets": ("Ticket", True, "legacyNo", "accountNo"),
            "children": ("Account", True, "id", "parentId"),
            "parent": ("Account", False, "parentId", "id"),
            "peers": ("Account", True, "segment", "segment"),
            "sized": ("Ticket", True, "rating", "effort"),
        },
    ),
    "Deal": Kind(
        "deals",
        {
            **_plain(
                id=("id", "id"),
                title=("string", "title"),
                amount=("decimal", "amount"),
                probability=("float", "probability"),
                quantity=("int", "quantity"),
                big=("long", "big"),
                accountId=("id", "account_id"),
                closesOn=("date", "closes_on"),
                updatedAt=("timestamp", "updated"),
                secret=("string", "secret"),
                accountRegion=("string", "account_id.region"),
                ownerTeam=("string", "account_id.owner_id.team"),
            ),
            "stage": ("string", lambda read: _STAGE(read("stage")), ("stage",)),
        },
        {"account": ("Account", False, "accountId", "id")},
        counts=lambda row: row["stage"] is not None and row["stage"] != "trash",
    ),
    "Ticket": Kind(
        "tickets",
        {
            **_plain(
                id=("id", "id"),
                number=("long", "number"),
                subject=("string", "subject"),
                accountNo=("string", "org"),
                createdAt=("timestamp", "created"),
                effort=("int", "effort"),
                satisfaction=("float", "satisfaction"),
            ),
            "priority": ("string", lambda read: _priority(read("tags")), ("tags",)),
        },
        {"account": ("Account", False, "accountNo", "legacyNo")},
    ),
}
LIST_FIELDS = {"Account": "accounts", "Deal": "deals", "Ticket": "tickets"}


class Refused(Exception):
    """The operation uses what the person may not read."""


@dataclass
class Ask:
    """One list field: its arguments and what is asked of it."""

    kind: str
    where: Mapping[str, Any] = field(default_factory=dict)
    order: Sequence[tuple[str | tuple[str, ...], str]] = ()
    first: int | None = None
    leaves: Sequence[str] = ("id",)
    ones: Mapping[str, Sequence[str]] = field(default_factory=dict)  # relation -> leaves
    lists: Mapping[str, Ask] = field(default_factory=dict)  # relation -> what of it
    totals: Mapping[str, Sequence[str]] | None = None  # function -> fields


class Reference:
    """One person's view of rows."""

    def __init__(
        self, rows: Rows, email: str, people: Mapping[str, Mapping[str, ObjectAccess]] = PEOPLE
    ) -> None:
        self.rows = rows
        self.access = people[email]
        self._keys = {slot: {row["id"]: row for row in records} for slot, records in rows.items()}

    # -- rights ---------------------------------------------------------------------------------

    def readable(self, source: str) -> bool:
        return source in self.access and self.access[source].readable

    def hides(self, kind: str, name: str) -> bool:
        """Say whether a builder's field reads anything that the person may not."""
        found = KINDS[kind]
        return self.readable(found.source) and any(
            self._hides_path(found.source, path) for path in found.fields[name][2]
        )

    def _hides_path(self, source: str, path: str) -> bool:
        step, _, rest = path.partition(".")
        if not self.readable(source) or step in self.access[source].hidden:
            return True
        return bool(rest) and self._hides_path(REFERENCES[source, step], rest)

    def sees(self, source: str, row: Row) -> bool:
        if not self.readable(source):
            return False
        return self._satisfies(self.access[source].rows, source, row)

    def _satisfies(self, rule: RowRule, source: str, row: Row) -> bool:
        connection = CONNECTION.get(source, "crm")
        match rule:
            case Everything():
                return True
            case Nothing():
                return False
            case FieldIn(name, values):
                return row[name] is not None and str(row[name]) in values
            case FieldIsNull(name):
                return row[name] is None
            case AnyOf(rules):
                return any(self._satisfies(each, source, row) for each in rules)
            case AllOf(rules):
                return all(self._satisfies(each, source, row) for each in rules)
            case Via(name, target, inner):
                found = self._keys[connection, target].get(row[name])
                return found is not None and self._satisfies(inner, target, found)
            case ViaChild(child, name, inner):
                return any(
                    other[name] == row["id"] and self._satisfies(inner, child, other)
                    for other in self.rows[connection, child]
                )
            case Listed(object_, key_field, name, values, where, own):
                mine = row[own or "id"]
                return mine is not None and any(
                    listing[key_field] == mine
                    and listing[name] in values
                    and all(listing[each] in among for each, among in where)
                    for listing in self.rows[connection, object_]
                )

    # -- values ---------------------------------------------------------------------------------

    def all_of(self, kind: str) -> list[Row]:
        found = KINDS[kind]
        rows = self.rows[CONNECTION[found.source], found.source]
        return [row for row in rows if self.sees(found.source, row) and found.counts(row)]

    def value(self, kind: str, row: Row, name: str) -> Any:
        return KINDS[kind].fields[name][1](lambda path: self._raw(KINDS[kind].source, row, path))

    def _raw(self, source: str, row: Row, path: str) -> Any:
        step, _, rest = path.partition(".")
        if not rest:
            return row[step]
        target = REFERENCES[source, step]
        found = self._keys[CONNECTION[target], target].get(row[step])
        if found is None or not self.sees(target, found):
            return None
        return self._raw(target, found, rest)

    def related(self, kind: str, row: Row, relation: str) -> list[Row]:
        target, _, local, remote = KINDS[kind].relations[relation]
        mine = self.value(kind, row, local)
        if mine is None:
            return []
        others = [(each, self.value(target, each, remote)) for each in self.all_of(target)]
        return [each for each, value in others if value is not None and str(value) == str(mine)]

    def _usable(self, kind: str, name: str) -> None:
        if self.hides(kind, name):
            raise Refused(f"{kind}.{name}")

    # -- conditions: True, False or None as in SQL ----------------------------------------------

    def holds(self, kind: str, row: Row, where: Mapping[str, Any]) -> bool | None:
        return _and([self._part(kind, row, key, value) for key, value in where.items()])

    def _part(self, kind: str, row: Row, key: str, value: Any) -> bool | None:
        match key:
            case "and":
                return _and([self.holds(kind, row, each) for each in value])
            case "or":
                return _or([self.holds(kind, row, each) for each in value])
            case "not":
                return _not(self.holds(kind, row, value))
        if key in KINDS[kind].fields:
            mine = self.value(kind, row, key)
            type_ = KINDS[kind].fields[key][0]
            return _and([compared(type_, mine, op, operand) for op, operand in value.items()])
        target, many, _, _ = KINDS[kind].relations[key]
        others = self.related(kind, row, key)
        if not many:
            return any(self.holds(target, other, value) is True for other in others)
        return _and(self._of_list(target, others, value))

    def _of_list(self, kind: str, others: list[Row], wanted: Mapping[str, Any]) -> list[Any]:
        found: list[bool | None] = []
        for key, where in wanted.items():
            if key in ("some", "none", "every"):
                verdicts = [self.holds(kind, other, where) is True for other in others]
                found.append(
                    {"some": any(verdicts), "none": not any(verdicts), "every": all(verdicts)}[key]
                )
        kept = [o for o in others if self.holds(kind, o, wanted.get("where", {})) is True]
        if "aggregate" not in wanted:
            return [*found, bool(kept)] if "where" in wanted else found
        for function, operands in wanted["aggregate"].items():
            if function == "count":
                found += [compared("int", len(kept), op, x) for op, x in operands.items()]
                continue
            for name, operators in operands.items():
                type_ = aggregate_type(function, KINDS[kind].fields[name][0])
                mine = self.aggregated(kind, kept, function, name)
                found += [compared(type_, mine, op, x) for op, x in operators.items()]
        return found

    def aggregated(self, kind: str, rows: list[Row], function: str, name: str) -> Any:
        values = [v for row in rows if (v := self.value(kind, row, name)) is not None]
        if function == "countDistinct":
            return len(set(values))
        if not values or (function == "stddev" and len(values) == 1):
            return None
        if function == "avg":
            return float(sum(values)) / len(values)
        if function in ("stddev", "median"):
            exact = [Fraction(value) for value in values]
            return float(stdev(exact) if function == "stddev" else median(exact))
        return {"sum": sum, "min": min, "max": max}[function](values)

    # -- what the operation may not use -----------------------------------------------------------

    def check(self, kind: str, where: Mapping[str, Any]) -> None:
        """Raise Refused when a filter reads what the person may not."""
        for key, value in where.items():
            if key in ("and", "or"):
                for each in value:
                    self.check(kind, each)
            elif key == "not":
                self.check(kind, value)
            elif key in KINDS[kind].fields:
                self._usable(kind, key)
            else:
                self._check_relation(kind, key, value)

    def _check_relation(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        target, many, local, remote = KINDS[kind].relations[key]
        if not many or value:
            if not self.readable(KINDS[target].source):
                raise Refused(target)
            self._usable(target, remote)
            self._usable(kind, local)
        if not many:
            self.check(target, value)
            return
        for part, inner in value.items():
            if part == "aggregate":
                for function, operands in inner.items():
                    for name in operands if function != "count" else ():
                        self._usable(target, name)
            else:
                self.check(target, inner)

    # -- answers --------------------------------------------------------------------------------

    def answer(self, ask: Ask) -> Any:
        """Return the connection that a root field answers; raises Refused."""
        return self._connection(ask, self.all_of(ask.kind))

    def ordered(self, ask: Ask, rows: Sequence[Row] | None = None) -> list[Row]:
        """Return every matching record in order."""
        self.check(ask.kind, ask.where)
        for path, _ in ask.order:
            self._check_order(ask.kind, (path,) if isinstance(path, str) else path)
        among = self.all_of(ask.kind) if rows is None else rows
        found = [row for row in among if self.holds(ask.kind, row, ask.where) is True]

        def compare(one: Row, other: Row) -> int:
            for path, direction in (*ask.order, ("id", "ASC")):
                steps = (path,) if isinstance(path, str) else path
                mine, theirs = (self.sorted_by(ask.kind, row, steps) for row in (one, other))
                if mine == theirs:
                    continue
                if mine is None or theirs is None:
                    nulls_first = direction.endswith("NULLS_FIRST")
                    return -1 if (mine is None) == nulls_first else 1
                return (-1 if mine < theirs else 1) * (-1 if direction.startswith("DESC") else 1)
            return 0

        return sorted(found, key=cmp_to_key(compare))

    def sorted_by(self, kind: str, row: Row, steps: Sequence[str]) -> Any:
        """Return the value that a step-by-step way leads to."""
        if steps[0] in KINDS[kind].fields:
            return self.value(kind, row, steps[0])
        target, many, _, _ = KINDS[kind].relations[steps[0]]
        others = sorted(self.related(kind, row, steps[0]), key=lambda each: each["id"])
        if not many:
            return self.sorted_by(target, others[0], steps[1:]) if others else None
        if steps[2] == "count":
            return len(others)
        return self.aggregated(target, others, steps[2], steps[3])

    def _check_order(self, kind: str, steps: Sequence[str]) -> None:
        if steps[0] in KINDS[kind].fields:
            self._usable(kind, steps[0])
            return
        target, many, local, remote = KINDS[kind].relations[steps[0]]
        if not self.readable(KINDS[target].source):
            raise Refused(target)
        self._usable(target, remote)
        self._usable(kind, local)
        if not many:
            self._check_order(target, steps[1:])
        elif steps[2] != "count":
            self._usable(target, steps[3])

    def _connection(self, ask: Ask, rows: Sequence[Row]) -> Any:
        found = self.ordered(ask, rows)
        for name in {name for names in (ask.totals or {}).values() for name in names}:
            self._usable(ask.kind, name)
        self._check_lists(ask)
        page = found[: 20 if ask.first is None else ask.first]
        answer: dict[str, Any] = {
            "__typename": f"{ask.kind}Connection",
            "totalCount": len(found),
            "pageInfo": {"hasNextPage": len(found) > len(page), "hasPreviousPage": False},
            "nodes": [self._node(ask, row) for row in page],
        }
        if ask.totals is not None:
            answer["aggregate"] = {"count": len(found)} | {
                function: {
                    name: shown(
                        aggregate_type(function, KINDS[ask.kind].fields[name][0]),
                        self.aggregated(ask.kind, found, function, name),
                    )
                    for name in names
                }
                for function, names in ask.totals.items()
            }
        return answer

    def _check_lists(self, ask: Ask) -> None:
        # What a nested list may not use is an error even where no record leads to it.
        for relation, inner in ask.lists.items():
            if not self._is_cut(ask.kind, relation):
                self._connection(inner, [])

    def _is_cut(self, kind: str, relation: str) -> bool:
        target, _, local, remote = KINDS[kind].relations[relation]
        return self.hides(kind, local) or self.hides(target, remote)

    def _node(self, ask: Ask, row: Row) -> Any:
        node: dict[str, Any] = {"__typename": ask.kind}
        node |= self._leaves(ask.kind, row, ask.leaves)
        for relation, leaves in ask.ones.items():
            node[relation] = self._one(ask.kind, row, relation, leaves)
        for relation, inner in ask.lists.items():
            if self._is_cut(ask.kind, relation):
                node[relation] = _cut(inner)
            else:
                node[relation] = self._connection(inner, self.related(ask.kind, row, relation))
        return node

    def _one(self, kind: str, row: Row, relation: str, leaves: Sequence[str]) -> Any:
        target = KINDS[kind].relations[relation][0]
        if self._is_cut(kind, relation):
            return None
        found = sorted(self.related(kind, row, relation), key=lambda each: each["id"])
        return self._leaves(target, found[0], leaves) if found else None

    def _leaves(self, kind: str, row: Row, leaves: Sequence[str]) -> dict[str, Any]:
        return {
            name: None
            if self.hides(kind, name)
            else shown(KINDS[kind].fields[name][0], self.value(kind, row, name))
            for name in leaves
        }


def _cut(ask: Ask) -> Any:
    """Return the connection of a relation whose link the person may not read."""
    answer: dict[str, Any] = {
        "__typename": f"{ask.kind}Connection",
        "totalCount": 0,
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False},
        "nodes": [],
    }
    if ask.totals is not None:
        answer["aggregate"] = {"count": 0} | {
            function: dict.fromkeys(names, 0 if function == "countDistinct" else None)
            for function, names in ask.totals.items()
        }
    return answer


def aggregate_type(function: str, type_: str) -> str:
    if function in ("avg", "stddev", "median"):
        return "float"
    if function == "countDistinct":
        return "int"
    return {"int": "long", "long": "decimal"}.get(type_, type_) if function == "sum" else type_


def shown(type_: str, value: Any) -> Any:
    """Return a value as JSON carries it."""
    if value is None:
        return None
    match type_:
        case "decimal":
            return str(value) if isinstance(value, int) else f"{value:.2f}"
        case "timestamp":
            assert isinstance(value, datetime)
            return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
        case "date":
            assert isinstance(value, date)
            return value.isoformat()
        case _:
            return value


def native(type_: str, text: Any) -> Any:
    """Return a filter's operand as the Python value that it means."""
    match type_:
        case "decimal":
            return Decimal(str(text))
        case "long":
            return int(text)
        case "timestamp":
            return datetime.fromisoformat(text).replace(tzinfo=None)
        case "date":
            return date.fromisoformat(text)
        case _:
            return text


def compared(type_: str, mine: Any, operator: str, operand: Any) -> bool | None:
    """Return `mine operator operand`, None where SQL answers unknown."""
    if operator == "isNull":
        return (mine is None) == operand
    if operator == "iin":
        lowered = None if mine is None else mine.lower()
        return _among(type_, lowered, [each.lower() for each in operand])
    if operator in ("in", "notIn"):
        found = _among(type_, mine, operand)
        return found if operator == "in" else _not(found)
    if mine is None:
        return None
    if operator in ("like", "ilike"):
        return _is_like(mine, operand) if operator == "like" else _is_like(mine, operand, fold=True)
    if operator in ("has", "hasAny", "hasAll", "isEmpty"):
        return {
            "has": lambda: operand in mine,
            "hasAny": lambda: any(each in mine for each in operand),
            "hasAll": lambda: all(each in mine for each in operand),
            "isEmpty": lambda: (len(mine) == 0) == operand,
        }[operator]()
    theirs = native(type_, operand)
    return {
        "eq": lambda: mine == theirs,
        "neq": lambda: mine != theirs,
        "lt": lambda: mine < theirs,
        "lte": lambda: mine <= theirs,
        "gt": lambda: mine > theirs,
        "gte": lambda: mine >= theirs,
        "contains": lambda: theirs in mine,
        "icontains": lambda: theirs.lower() in mine.lower(),
        "startsWith": lambda: mine.startswith(theirs),
        "endsWith": lambda: mine.endswith(theirs),
        "ieq": lambda: mine.lower() == theirs.lower(),
        "istartsWith": lambda: mine.lower().startswith(theirs.lower()),
        "iendsWith": lambda: mine.lower().endswith(theirs.lower()),
    }[operator]()


def _is_like(text: str, pattern: str, *, fold: bool = False) -> bool:
    """Match from left to right, trying every length for a `%`."""
    if not pattern:
        return not text
    first, rest = pattern[0], pattern[1:]
    if first == "%":
        return any(_is_like(text[at:], rest, fold=fold) for at in range(len(text) + 1))
    if not text:
        return False
    if first == "_":
        return _is_like(text[1:], rest, fold=fold)
    if first == "\\":
        first, rest = rest[0], rest[1:]
    is_same = first.lower() == text[0].lower() if fold else first == text[0]
    return is_same and _is_like(text[1:], rest, fold=fold)


def _among(type_: str, mine: Any, operand: Sequence[Any]) -> bool | None:
    if not operand:
        return False
    return None if mine is None else mine in [native(type_, each) for each in operand]


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _and(values: Sequence[bool | None]) -> bool | None:
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def _or(values: Sequence[bool | None]) -> bool | None:
    if any(value is True for value in values):
        return True
    return None if any(value is None for value in values) else False
