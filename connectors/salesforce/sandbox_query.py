"""Answers a parsed SOQL query as one user: takes the tree and the viewer, gives wire records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import sandbox_soql as soql
from .sandbox_describe import API_PATH
from .sandbox_filter import NUMBERS, Getter, Test, comparison, folded, literal
from .sandbox_org import Row
from .sandbox_rights import Viewer
from .sandbox_schema import FieldDef, ObjectDef

_OFFSET_MAX = 2000
_GROUPS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Result:
    """The whole answer: `wire` makes one row's JSON. Aggregates come in one batch."""

    rows: Sequence[Row]
    total: int
    wire: Callable[[Row], dict[str, Any]]


def run(query: soql.Query, viewer: Viewer, now: datetime, *, bin_too: bool) -> Result:
    """Return the answer to `query`; `bin_too` includes deleted records. Raises SoqlError."""
    return _Run(viewer, now, bin_too).result(query)


def counts_only(query: soql.Query) -> bool:
    """Say whether the query is SELECT COUNT() FROM..., which answers a total without records."""
    return query.select == (soql.Aggregate("COUNT", None),) and not query.group_by


class _Run:
    def __init__(self, viewer: Viewer, now: datetime, bin_too: bool) -> None:
        self._viewer = viewer
        self._now = now
        self._bin_too = bin_too

    def result(self, query: soql.Query) -> Result:
        found = self._object(query.source)
        rows = self._filtered(query, found)
        if query.group_by or any(isinstance(item, soql.Aggregate) for item in query.select):
            return self._aggregated(query, found, rows)
        if query.offset > _OFFSET_MAX:
            raise soql.SoqlError(
                "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"
            )
        rows = self._ordered(query, found, rows)
        end = None if query.limit is None else query.offset + query.limit
        rows = rows[query.offset : end]
        return Result(rows, len(rows), self._wire(query, found))

    def _object(self, name: str) -> ObjectDef:
        found = self._viewer.objects_by_lower.get(name.lower())
        if found is None:
            raise soql.SoqlError(
                "INVALID_TYPE",
                f"\nFROM {name}\n     ^\nERROR at Row:1:Column:1\n"
                f"sObject type '{name}' is not supported. If you are attempting to use a custom "
                "object, be sure to append the '__c' after the entity name. Please reference your "
                "WSDL or the describe call for the appropriate names.",
            )
        return found

    def _field(self, found: ObjectDef, name: str) -> FieldDef:
        field = found.by_lower.get(name.lower())
        if field is None or field.name not in self._viewer.readable(found):
            raise soql.SoqlError(
                "INVALID_FIELD", f"No such column '{name}' on sobject of type {found.name}"
            )
        return field

    def _lookup(self, found: ObjectDef, name: str) -> FieldDef:
        field = found.by_relationship.get(name.lower())
        if field is None or field.name not in self._viewer.readable(found):
            raise soql.SoqlError(
                "INVALID_FIELD",
                f"Didn't understand relationship '{name}' in field path. If you are attempting to "
                "use a custom relationship, be sure to append the '__r' after the custom "
                "relationship name.",
            )
        return field

    def _parent(self, field: FieldDef, row: Row) -> tuple[ObjectDef, Row] | None:
        """Return the record that a lookup leads to, if the user sees it."""
        key = row[field.name]
        for name in field.reference_to if key else ():
            found = self._viewer.objects.get(name)
            parent = self._viewer.record(name, key) if found else None
            if found and parent and not parent.get("IsDeleted"):
                return found, parent
        return None

    def _parent_type(self, field: FieldDef) -> ObjectDef:
        """Return what a path may name beyond a lookup: of several targets, the User."""
        names = [name for name in field.reference_to if name in self._viewer.objects]
        if not names:
            raise soql.SoqlError("INVALID_FIELD", f"No such relation '{field.relationship}'")
        return self._viewer.objects["User" if "User" in names else names[0]]

    def _getter(self, found: ObjectDef, path: Sequence[str]) -> tuple[FieldDef, Getter]:
        """Return the field at the end of a path and how to read it from a row."""
        # The first part may be the object's own name: Account.Name FROM Account.
        if len(path) > 1 and path[0].lower() == found.name.lower():
            own_relation = path[0].lower() in found.by_relationship
            path = path if own_relation else path[1:]
        if len(path) == 1:
            field = self._field(found, path[0])
            name = field.name
            return field, lambda row: row[name]
        lookup = self._lookup(found, path[0])
        field, inner = self._getter(self._parent_type(lookup), path[1:])

        def through(row: Row) -> Any:
            parent = self._parent(lookup, row)
            return inner(parent[1]) if parent and field.name in parent[1] else None

        return field, through

    def _plain(self, found: ObjectDef, path: Sequence[str]) -> tuple[FieldDef, Getter]:
        """Return what `_getter` does, for places where compounds are not allowed."""
        field, get = self._getter(found, path)
        if field.type in ("address", "location"):
            raise soql.SoqlError(
                "INVALID_FIELD", f"field '{field.name}' can not be used here in a query call"
            )
        return field, get

    def _filtered(self, query: soql.Query, found: ObjectDef) -> list[Row]:
        rows: Iterable[Row] = self._viewer.records(found.name)
        if not self._bin_too:
            rows = (row for row in rows if not row.get("IsDeleted"))
        if query.where is None:
            return list(rows)
        test = self._test(query.where, lambda operand: self._column(found, operand))
        return [row for row in rows if test(row)]

    def _column(self, found: ObjectDef, operand: soql.Operand) -> tuple[FieldDef, Getter]:
        if isinstance(operand, soql.Aggregate):
            raise soql.SoqlError("MALFORMED_QUERY", "aggregates belong into HAVING")
        return self._plain(found, operand.path)

    def _test(
        self,
        condition: soql.Condition,
        resolve: Callable[[soql.Operand], tuple[FieldDef, Getter]],
    ) -> Test:
        if isinstance(condition, soql.Junction):
            tests = [self._test(each, resolve) for each in condition.conditions]
            if condition.every:
                return lambda row: all(test(row) for test in tests)
            return lambda row: any(test(row) for test in tests)
        if isinstance(condition, soql.Negation):
            inner = self._test(condition.condition, resolve)
            return lambda row: not inner(row)
        field, get = resolve(condition.operand)
        if isinstance(condition, soql.Membership):
            return self._membership(condition, field, get)
        return comparison(condition, field, get, self._now)

    def _membership(self, condition: soql.Membership, field: FieldDef, get: Getter) -> Test:
        negated = condition.negated
        if condition.query is None:
            allowed = {literal(value, field, self._now)[0] for value in condition.values}
        else:
            allowed = self._sub_select(condition.query)
        return lambda row: (folded(get(row), field) in allowed) is not negated

    def _sub_select(self, query: soql.Query) -> set[Any]:
        column = query.select[0]
        if len(query.select) != 1 or isinstance(column, soql.Aggregate):
            raise soql.SoqlError("MALFORMED_QUERY", "a semi join selects one column")
        found = self._object(query.source)
        field, get = self._plain(found, column.path)
        return {folded(get(row), field) for row in self._filtered(query, found)} - {None}

    def _ordered(self, query: soql.Query, found: ObjectDef, rows: list[Row]) -> list[Row]:
        for ordering in reversed(query.order_by):
            field, get = self._column(found, ordering.operand)
            if not field.reference_to and field.type in ("textarea", "multipicklist", "address"):
                raise soql.SoqlError(
                    "INVALID_FIELD", f"field '{field.name}' can not be sorted in a query call"
                )
            _sort(rows, _sort_key(field, get), ordering)
        return rows

    def _wire(self, query: soql.Query, found: ObjectDef) -> Callable[[Row], dict[str, Any]]:
        """Return how to render a row: flat names first, then nested parents."""
        flat: list[tuple[str, str]] = []
        compounds: list[str] = []
        nested: dict[str, list[soql.Operand]] = {}
        lookups: dict[str, FieldDef] = {}
        for item in query.select:
            assert isinstance(item, soql.Column)
            path = item.path
            own_name = len(path) > 1 and path[0].lower() == found.name.lower()
            if own_name and path[0].lower() not in found.by_relationship:
                path = path[1:]
            if len(path) == 1:
                field = self._field(found, path[0])
                target = compounds if field.type in ("address", "location") else None
                if target is None:
                    flat.append((field.name, field.name))
                else:
                    compounds.append(field.name)
                continue
            lookup = self._lookup(found, path[0])
            self._getter(self._parent_type(lookup), path[1:])  # refuses unknown names
            relationship = lookup.relationship or ""
            lookups[relationship] = lookup
            nested.setdefault(relationship, []).append(soql.Column(path[1:]))
        parents = {
            name: (
                lookups[name],
                self._wire(
                    soql.Query(tuple(items), self._parent_type(lookups[name]).name),
                    self._parent_type(lookups[name]),
                ),
            )
            for name, items in nested.items()
        }
        kind = found.name
        prefix = f"{API_PATH}/sobjects/{kind}/"
        names = [name for name, _ in flat]
        key = found.key

        def wire(row: Row) -> dict[str, Any]:
            record: dict[str, Any] = {"attributes": {"type": kind, "url": prefix + row[key]}}
            for name in names:
                record[name] = row[name]
            for name in compounds:
                record[name] = compound_value(found, name, row)
            for name, (lookup, render) in parents.items():
                parent = self._parent(lookup, row)
                record[name] = render(parent[1]) if parent else None
            return record

        return wire

    def _aggregated(self, query: soql.Query, found: ObjectDef, rows: list[Row]) -> Result:
        if counts_only(query):
            return Result([], len(rows), dict)
        keys = [self._plain(found, column.path) for column in query.group_by]
        groups: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): rows}
        for row in rows if keys else ():
            groups.setdefault(tuple(get(row) for _, get in keys), []).append(row)
        names = _aliases(query)
        plain = {
            tuple(part.lower() for part in each.path): n for n, each in enumerate(query.group_by)
        }

        def evaluate(operand: soql.Operand, key: tuple[Any, ...], members: list[Row]) -> Any:
            if isinstance(operand, soql.Aggregate):
                return self._aggregate(found, operand, members)
            place = plain.get(tuple(part.lower() for part in operand.path))
            if place is None:
                raise soql.SoqlError(
                    "MALFORMED_QUERY",
                    f"Field must be grouped or aggregated: {'.'.join(operand.path)}",
                )
            return key[place]

        answers: list[Row] = []
        for key, members in groups.items():
            if query.having is not None and not self._having(query, key, members, evaluate):
                continue
            row = {
                name: evaluate(item, key, members)
                for name, item in zip(names, query.select, strict=True)
            }
            row[""] = [evaluate(each.operand, key, members) for each in query.order_by]
            answers.append(row)
        for place in reversed(range(len(query.order_by))):
            _sort(answers, _nth(place), query.order_by[place])
        answers = answers[query.offset :][: query.limit]
        if len(answers) > _GROUPS_MAX:
            raise soql.SoqlError(
                "EXCEEDED_ID_LIMIT",
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results "
                "to a single batch",
            )
        return Result(
            answers,
            len(answers),
            lambda row: {
                "attributes": {"type": "AggregateResult"},
                **{name: row[name] for name in names},
            },
        )

    def _having(
        self,
        query: soql.Query,
        key: tuple[Any, ...],
        members: list[Row],
        evaluate: Callable[[soql.Operand, tuple[Any, ...], list[Row]], Any],
    ) -> bool:
        found = self._object(query.source)

        def resolve(operand: soql.Operand) -> tuple[FieldDef, Getter]:
            column = operand.column if isinstance(operand, soql.Aggregate) else operand
            counts = isinstance(operand, soql.Aggregate) and operand.function.startswith("COUNT")
            if counts or column is None:
                field = FieldDef("expr", "double", "expr")
            else:
                field = self._plain(found, column.path)[0]
            value = evaluate(operand, key, members)
            return field, lambda _: value

        assert query.having is not None
        return self._test(query.having, resolve)({})

    def _aggregate(self, found: ObjectDef, item: soql.Aggregate, members: list[Row]) -> Any:
        if item.column is None:
            return len(members)
        field, get = self._plain(found, item.column.path)
        if item.function in ("SUM", "AVG") and field.type not in NUMBERS:
            raise soql.SoqlError(
                "MALFORMED_QUERY", f"field {field.name} does not support {item.function}"
            )
        values = [value for row in members if (value := get(row)) is not None]
        if item.function == "COUNT":
            return len(values)
        if item.function == "COUNT_DISTINCT":
            return len(set(values))
        if not values:
            return None
        if item.function in ("MIN", "MAX"):
            return min(values) if item.function == "MIN" else max(values)
        total = round(sum(values), 6)
        return total if item.function == "SUM" else total / len(values)


def _aliases(query: soql.Query) -> list[str]:
    """Return the names of an aggregate answer's columns: aliases, field names, expr0..."""
    names = []
    unnamed = 0
    for item in query.select:
        if item.alias:
            names.append(item.alias)
        elif isinstance(item, soql.Aggregate):
            names.append(f"expr{unnamed}")
            unnamed += 1
        else:
            names.append(item.path[-1])
    return names


def compound_value(found: ObjectDef, name: str, row: Row) -> dict[str, Any] | None:
    """Return an address or a location from its parts."""
    parts = {
        field.name: row[field.name]
        for field in found.fields
        if field.compound == name and field.name in row
    }
    if all(value is None for value in parts.values()):
        return None
    if name.endswith("__c"):
        stem = name.removesuffix("__c")
        return {
            "latitude": parts[f"{stem}__Latitude__s"],
            "longitude": parts[f"{stem}__Longitude__s"],
        }
    stem = name.removesuffix("Address")
    keys = ("city", "country", "postalCode", "state", "street")
    shown = {key: parts.get(f"{stem}{key[0].upper()}{key[1:]}") for key in keys}
    return {**shown, "geocodeAccuracy": None, "latitude": None, "longitude": None}


def _sort_key(field: FieldDef, get: Getter) -> Getter:
    return lambda row: folded(get(row), field)


def _nth(place: int) -> Getter:
    return lambda row: row[""][place]


def _sort(rows: list[Row], key: Callable[[Row], Any], ordering: soql.Ordering) -> None:
    """Sort in place, stably; nulls first unless asked otherwise, whatever the direction."""
    filled = [row for row in rows if key(row) is not None]
    empty = [row for row in rows if key(row) is None]
    filled.sort(key=key, reverse=ordering.descending)
    rows[:] = [*filled, *empty] if ordering.nulls_last else [*empty, *filled]
