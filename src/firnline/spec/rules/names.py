"""Names the graph needs for itself, and names that would collide in one tenant's graph.

`list_field` and `record_field` are the root fields that an object gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from firnline.spec.document import YamlPath
from firnline.spec.model import IntegrationSpec, ObjectSpec, TenantSpec
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings

_SCALARS = ("String", "Int", "Float", "Boolean", "ID", "Long", "Decimal", "JSON")
_TIMES = ("Date", "Time", "DateTime", "Timestamp")
_SHARED = ("PageInfo", "Gateway", "Person", "Source", "OrderDirection")
_TYPES = frozenset({"Query", "Mutation", "Subscription", *_SCALARS, *_TIMES, *_SHARED})
_OPERATORS = "Operators"  # StringOperators, DateOperators...
# Beside the type of an object stand types of these names: AccountWhere, AccountConnection...
_SUFFIXES = (
    *("Where", "OrderBy", "Connection", "Edge", "Aggregate", "Sum", "Avg", "Min", "Max"),
    *("CountDistinct", "Statistics", "Group", "GroupBy", "GroupKeys"),
)
_FIELDS = frozenset({"and", "or", "not", "aggregate", "nodes", "edges"})
_ROOTS = frozenset({"node", "nodes"})


def record_field(name: str) -> str:
    """Return the root field that gives one record of object `name`: Deal -> deal."""
    return name[0].lower() + name[1:]


def list_field(name: str, declared: ObjectSpec) -> str:
    """Return the root field that lists object `name`: Deal -> deals."""
    return declared.plural or f"{record_field(name)}s"


def check_names(findings: Findings, integration: IntegrationSpec) -> None:
    """Report reserved names, and objects or fields that would collide."""
    _check_object_names(findings, integration.objects)
    _check_roots(findings, integration.objects)
    for name, declared in integration.objects.items():
        _check_field_names(findings, name, declared)


def check_connection_names(
    findings: Findings, integration: IntegrationSpec, tenant: TenantSpec
) -> None:
    """Report connections whose namespace would collide with an object, or with each other."""
    roots = {
        root: name
        for name, declared in integration.objects.items()
        for root in (record_field(name), list_field(name, declared))
    }
    seen: dict[str, str] = {}
    for name in tenant.connections:
        owner = roots.get(name) or _same_type(name, integration.objects)
        path = ("connections", name)
        if owner is not None:
            message = f"connection {quoted(name)} has the name of a field of object {owner}"
            findings.key(path, "name_clash", message, "Name the connection after its purpose.")
        elif name in _ROOTS or _capital(name) in _TYPES:
            message = f"{quoted(name)} is reserved and cannot name a connection"
            findings.key(path, "reserved_name", message)
        elif name.lower() in seen:
            message = (
                f"connections {quoted(seen[name.lower()])} and {quoted(name)} differ in case only"
            )
            findings.key(path, "name_clash", message)
        seen.setdefault(name.lower(), name)


def _same_type(connection: str, objects: Iterable[str]) -> str | None:
    return next((name for name in objects if name == _capital(connection)), None)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _check_object_names(findings: Findings, objects: Mapping[str, ObjectSpec]) -> None:
    seen: dict[str, str] = {}
    for name in objects:
        path: YamlPath = ("objects", name)
        owner = _owner(name, objects)
        if name in _TYPES or name.removesuffix(_OPERATORS) in _TYPES:
            message = f"{quoted(name)} is a type of every graph and cannot name an object"
            findings.key(path, "reserved_name", message)
        elif owner is not None:
            message = f"object {quoted(name)} has the name of a type that {owner} brings along"
            findings.key(path, "reserved_name", message)
        elif name.lower() in seen:
            message = f"objects {quoted(seen[name.lower()])} and {quoted(name)} differ in case only"
            findings.key(path, "name_clash", message)
        seen.setdefault(name.lower(), name)


def _owner(name: str, objects: Iterable[str]) -> str | None:
    """Return the object among whose accompanying types there is one called `name`."""
    return next(
        (
            stem
            for stem in objects
            if stem != name
            and name.startswith(stem)
            and name.endswith(_SUFFIXES)
            and _only_suffixes(name.removeprefix(stem))
        ),
        None,
    )


def _only_suffixes(rest: str) -> bool:
    return re.fullmatch(rf"(List|Aggregate)?({'|'.join(_SUFFIXES)}){{1,2}}", rest) is not None


def _check_roots(findings: Findings, objects: Mapping[str, ObjectSpec]) -> None:
    owners: dict[str, str] = {record_field(name): name for name in objects}
    for name, declared in objects.items():
        root = list_field(name, declared)
        report = findings.value if declared.plural else findings.key
        path: YamlPath = ("objects", name, "plural") if declared.plural else ("objects", name)
        if not _ROOTS.isdisjoint({root, record_field(name)}):
            message = f"{name} would take a reserved root field: {', '.join(sorted(_ROOTS))}"
            report(path, "reserved_name", message)
        elif clash := next((each for each in (root, f"{root}ByKey") if each in owners), None):
            message = f"the list field {quoted(clash)} is also a field of object {owners[clash]}"
            report(path, "plural_clash", message, "Set another `plural`.")
        owners.setdefault(root, name)
        owners.setdefault(f"{root}ByKey", name)


def _check_field_names(findings: Findings, name: str, declared: ObjectSpec) -> None:
    seen: dict[str, str] = {}
    places: list[YamlPath] = [("objects", name, "fields", field) for field in declared.fields]
    places += [("objects", name, "relations", relation) for relation in declared.relations]
    for path in places:
        own = str(path[-1])
        if own in _FIELDS:
            message = f"{quoted(own)} is reserved and cannot name a field or relation"
            findings.key(path, "reserved_name", message)
        elif own.lower() in seen:
            first = seen[own.lower()]
            clash = "is already a field or relation" if first == own else f"clashes with {first}"
            message = f"{quoted(own)} {clash} of {name}"
            findings.key(path, "name_clash", message, "Rename one of the two.")
        seen.setdefault(own.lower(), own)
