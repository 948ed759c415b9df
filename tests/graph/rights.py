"""A connector whose `access` reads whole `ObjectAccess`es from a permission table.

Takes rows of the object `grants` (email, object, access as JSON); tests write them with `grant`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    ObjectAccess,
    PermissionRows,
    Person,
    RowRule,
    SourceAccess,
    Via,
    ViaChild,
)
from firnline.catalog.model import Catalog
from firnline.connectors.protocol import (
    Connector,
    Identity,
    Page,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
)


def rule_as_list(rule: RowRule) -> list[Any]:
    """Return a rule in the form that the permission table stores."""
    match rule:
        case Everything() | Nothing():
            return [type(rule).__name__]
        case FieldIn(field, values):
            return ["FieldIn", field, sorted(values)]
        case FieldIsNull(field):
            return ["FieldIsNull", field]
        case Listed(object_, key_field, field, values, where, match_):
            narrowed = [[name, sorted(among)] for name, among in where]
            return ["Listed", object_, key_field, field, sorted(values), narrowed, match_]
        case Via(field, object_, inner):
            return ["Via", field, object_, rule_as_list(inner)]
        case ViaChild(object_, field, inner):
            return ["ViaChild", object_, field, rule_as_list(inner)]
        case AnyOf(rules) | AllOf(rules):
            return [type(rule).__name__, [rule_as_list(each) for each in rules]]


def rule_from_list(stored: list[Any]) -> RowRule:
    """Return the rule that `rule_as_list` stored."""
    match stored:
        case ["Everything"]:
            return Everything()
        case ["Nothing"]:
            return Nothing()
        case ["FieldIn", field, values]:
            return FieldIn(field, frozenset(values))
        case ["FieldIsNull", field]:
            return FieldIsNull(field)
        case ["Listed", object_, key_field, field, values, where, match_]:
            narrowed = tuple((name, frozenset(among)) for name, among in where)
            return Listed(object_, key_field, field, frozenset(values), narrowed, match_)
        case ["Via", field, object_, inner]:
            return Via(field, object_, rule_from_list(inner))
        case ["ViaChild", object_, field, inner]:
            return ViaChild(object_, field, rule_from_list(inner))
        case ["AnyOf", rules]:
            return AnyOf(tuple(rule_from_list(each) for each in rules))
        case ["AllOf", rules]:
            return AllOf(tuple(rule_from_list(each) for each in rules))
    raise AssertionError(stored)


def grant(email: str, object_name: str, access: ObjectAccess) -> dict[str, Any]:
    """Return a row of the permission table."""
    stored = {
        "readable": access.readable,
        "reason": access.reason,
        "rows": rule_as_list(access.rows),
        "hidden": dict(access.hidden),
    }
    return {
        "id": f"{email}:{object_name}",
        "email": email,
        "object": object_name,
        "access": orjson.dumps(stored).decode(),
    }


class RightsTable(Connector):
    """The rights half of a connector; the tests never speak to the provider."""

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        found: dict[str, ObjectAccess] = {}
        for row in rows.rows("grants", email=person.email):
            stored = orjson.loads(row["access"])
            found[row["object"]] = ObjectAccess(
                readable=stored["readable"],
                reason=stored["reason"],
                rows=rule_from_list(stored["rows"]),
                hidden=stored["hidden"],
            )
        key = person.email if found else None
        return SourceAccess(key, reason="" if found else "no active user", objects=found)

    def people(self, rows: PermissionRows) -> Sequence[Person]:
        return [
            Person(row["email"], row["name"] or "", "", row["id"])
            for row in rows.rows("users")
            if row["email"]
        ]

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        raise NotImplementedError

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        raise NotImplementedError

    def build_read(self, query: ReadQuery) -> Request:
        raise NotImplementedError

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        raise NotImplementedError

    def classify(self, response: Response) -> Verdict:
        raise NotImplementedError
