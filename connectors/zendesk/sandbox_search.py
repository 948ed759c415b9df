"""The search language over the sandbox's records: `type:ticket status<solved organization:12`.

Takes a query and the records that the caller may see, gives the matching keys. A property that is
not known is refused rather than ignored, so that a wrong query cannot look like an answer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from .sandbox_store import Key, Row, Store
from .sandbox_wire import iso, refusal

TERM = re.compile(r'(-?)(?:([A-Za-z_]\w*)(:|<=|>=|<|>))?("[^"]*"|[^\s"]+)')
TYPES = {
    "ticket": "tickets",
    "user": "users",
    "organization": "organizations",
    "group": "groups",
}
ORDERED = {
    "status": ("new", "open", "pending", "hold", "solved", "closed"),
    "priority": ("low", "normal", "high", "urgent"),
}
DATES = {"created": "created_at", "updated": "updated_at"}
PEOPLE = {"assignee": "assignee_id", "requester": "requester_id", "submitter": "submitter_id"}
PLAIN = {
    "subject": "subject",
    "description": "description",
    "external_id": "external_id",
    "ticket_type": "type",
    "role": "role",
    "email": "email",
    "name": "name",
}
TEXTS = ("subject", "description", "name", "email")
Test = Callable[[Row], bool]


def parse(query: str) -> list[tuple[str, str, str, str]]:
    """Return the terms of a query: sign, property, operator, value."""
    return [
        (sign, name.lower(), operator or ":", value.strip('"'))
        for sign, name, operator, value in TERM.findall(query)
    ]


class Search:
    """Answers queries over one store for one caller."""

    def __init__(self, store: Store, caller: Row) -> None:
        self._store = store
        self._caller = caller

    def split_type(self, query: str) -> tuple[str | None, str]:
        """Return the object that `type:` asks for, and the query without it."""
        wanted = re.search(r"\btype:(\w+)", query)
        if wanted is None:
            return None, query
        if wanted[1] not in TYPES:
            raise refusal(422, "invalid", f"Invalid search: type {wanted[1]} is not known")
        return wanted[1], query[: wanted.start()] + query[wanted.end() :]

    def matches(self, object_name: str, query: str, visible: Sequence[Key]) -> list[Key]:
        """Return the visible keys of one object that satisfy every term."""
        wanted: dict[str, list[Test]] = defaultdict(list)
        tests: list[Test] = []
        for sign, name, operator, value in parse(query):
            test = self._test(object_name, name, operator, value)
            if sign:
                tests.append(_negated(test))
            elif name and operator == ":":
                # One property named twice is a choice: status:open status:new.
                wanted[name].append(test)
            else:
                tests.append(test)
        tests += [_either(choices) for choices in wanted.values()]
        rows = self._store.table(object_name).rows
        return [key for key in visible if all(test(rows[key]) for test in tests)]

    def _test(self, object_name: str, name: str, operator: str, value: str) -> Test:
        if not name:
            word = value.lower()
            return lambda row: any(word in str(row.get(field) or "").lower() for field in TEXTS)
        if name in ORDERED and object_name == "tickets":
            return _ranked(name, operator, value)
        if name in DATES:
            return _dated(DATES[name], operator, value)
        if operator != ":":
            raise refusal(422, "invalid", f"Invalid search: {name} cannot be compared")
        if name == "tags":
            return lambda row: value in row.get("tags", ())
        if name == "id":
            return lambda row: str(row["id"]) == value
        if name in PLAIN:
            field = PLAIN[name]
            return lambda row: str(row.get(field) or "").lower() == value.lower()
        if object_name == "tickets" and re.fullmatch(r"custom_field_\d+", name):
            number = int(name[13:])
            return lambda row: _same(row["fields"].get(number), value)
        return self._reference(name, value)

    def _reference(self, name: str, value: str) -> Test:
        if name in PEOPLE:
            field, table = PEOPLE[name], "users"
        elif name in ("organization", "group"):
            field, table = f"{name}_id", f"{name}s"
        else:
            raise refusal(422, "invalid", f"Invalid search: property {name} is not known")
        if value == "none":
            return lambda row: row.get(field) is None
        if value == "me" and table == "users":
            return lambda row: bool(row.get(field) == self._caller["id"])
        if value.isdigit():
            return lambda row: bool(row.get(field) == int(value))
        found = self._named(table, value)
        return lambda row: row.get(field) in found

    def _named(self, table: str, value: str) -> set[Key]:
        wanted = value.lower()
        rows = self._store.table(table).rows.items()
        return {
            key
            for key, row in rows
            if wanted in (str(row["name"]).lower(), str(row.get("email")).lower())
        }


def _same(held: Any, value: str) -> bool:
    if isinstance(held, bool):
        return value == ("true" if held else "false")
    return held is not None and str(held).lower() == value.lower()


def _negated(test: Test) -> Test:
    return lambda row: not test(row)


def _either(tests: Iterable[Test]) -> Test:
    choices = tuple(tests)
    return lambda row: any(test(row) for test in choices)


def _compare(operator: str) -> Callable[[Any, Any], bool]:
    return {
        ":": lambda held, given: held == given,
        "<": lambda held, given: held < given,
        ">": lambda held, given: held > given,
        "<=": lambda held, given: held <= given,
        ">=": lambda held, given: held >= given,
    }[operator]


def _ranked(name: str, operator: str, value: str) -> Test:
    order = {word: rank for rank, word in enumerate(ORDERED[name])}
    if value == "none":
        return lambda row: row[name] is None
    if value not in order:
        raise refusal(422, "invalid", f"Invalid search: {name} {value} is not known")
    compare = _compare(operator)
    return lambda row: row[name] in order and compare(order[row[name]], order[value])


def _dated(field: str, operator: str, value: str) -> Test:
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError as error:
        raise refusal(422, "invalid", f"Invalid search: {value} is not a date") from error
    whole_day = len(value) == 10
    zone = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if whole_day:
        compare = _compare(operator)
        return lambda row: compare(row[field][:10], value)
    exact = iso(zone.timestamp())
    compare = _compare(operator)
    return lambda row: compare(row[field], exact)
