"""Rules about the builder's objects: keys, enums and relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from firnline.spec.model import BuilderType, FieldSpec, IntegrationSpec, ObjectSpec, RelationSpec
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings, unknown

_KEY_TYPES: frozenset[BuilderType] = frozenset({"id", "string", "int", "long"})
# Types whose values can be equal; a relation compares within one family.
_FAMILIES: Mapping[BuilderType, str] = {
    "id": "text",
    "string": "text",
    "enum": "text",
    "int": "whole number",
    "long": "whole number",
    "decimal": "decimal",
    "date": "date",
    "timestamp": "timestamp",
}
# `otherwise: keep` means that unlisted values are kept.
_RESERVED_WORDS = frozenset({"keep"})


def check_objects(findings: Findings, integration: IntegrationSpec) -> None:
    """Report keys that are no fields, enums without words and relations that lead nowhere."""
    for name, declared in integration.objects.items():
        _check_key(findings, name, declared)
        for field_name, field in declared.fields.items():
            _check_enum(findings, (name, field_name), field)
        for relation_name, relation in declared.relations.items():
            _check_relation(findings, integration, (name, relation_name), relation)
    _check_cycles(findings, integration)


def _check_key(findings: Findings, name: str, declared: ObjectSpec) -> None:
    path = ("objects", name, "key")
    field = declared.fields.get(declared.key)
    if field is None:
        message, hint = unknown(declared.key, declared.fields, what="field", plural="fields")
        message = f"the key of {name} must be one of its fields: {message}"
        findings.value(path, "unknown_field", message, hint)
    elif field.type not in _KEY_TYPES:
        message = f"the key {quoted(declared.key)} of {name} is a {field.type}"
        hint = f"Keys are one of: {', '.join(sorted(_KEY_TYPES))}."
        findings.value(path, "key_type", message, hint)


def _check_enum(findings: Findings, owner: tuple[str, str], field: FieldSpec) -> None:
    name, field_name = owner
    path = ("objects", name, "fields", field_name)
    if field.type == "enum" and not field.values:
        hint = "List its words: `values: [open, closed]`."
        findings.key(path, "enum_without_values", f"enum {name}.{field_name} has no values", hint)
    if field.type != "enum" and field.values:
        message = f"{name}.{field_name} is a {field.type}; only an enum has values"
        findings.key((*path, "values"), "values_without_enum", message, "Set `type: enum`.")
    for position, word in enumerate(field.values):
        place = (*path, "values", position)
        if word in field.values[:position]:
            findings.value(place, "duplicate_value", f"{quoted(word)} is listed twice")
        elif not word.strip() or word in _RESERVED_WORDS:
            findings.value(place, "reserved_name", f"{quoted(word)} cannot be a word of an enum")


def _check_relation(
    findings: Findings, integration: IntegrationSpec, owner: tuple[str, str], relation: RelationSpec
) -> None:
    name, relation_name = owner
    path = ("objects", name, "relations", relation_name)
    own_fields = integration.objects[name].fields
    target = integration.objects.get(relation.to)
    ((own, other),) = relation.on.items()
    if own not in own_fields:
        message, hint = unknown(own, own_fields, what=f"field of {name}", plural="fields")
        findings.key((*path, "on", own), "unknown_field", message, hint)
    if target is None:
        message, hint = unknown(relation.to, integration.objects, what="object")
        findings.value((*path, "to"), "unknown_object", message, hint)
        return
    if other not in target.fields:
        message, hint = unknown(
            other, target.fields, what=f"field of {relation.to}", plural="fields"
        )
        findings.value((*path, "on", own), "unknown_field", message, hint)
    elif own in own_fields:
        left, right = own_fields[own].type, target.fields[other].type
        if _FAMILIES.get(left) is None or _FAMILIES.get(left) != _FAMILIES.get(right):
            message = f"{name}.{own} is a {left} and {relation.to}.{other} a {right}"
            hint = "A relation joins fields of the same kind: text, whole numbers, dates..."
            findings.key((*path, "on", own), "types_not_comparable", message, hint)


def _check_cycles(findings: Findings, integration: IntegrationSpec) -> None:
    """Report chains of to-one relations from key to key that return to where they began.

    Such a relation says "the same key, another object". A circle of them derives a record's
    identity from itself. Relations through other fields may form circles: `account.deals` and
    `deal.account` are two views of one fact.
    """
    ways = {name: list(_identities(integration, name)) for name in integration.objects}
    reported: set[frozenset[str]] = set()
    for start in integration.objects:
        circle = _circle(ways, start)
        if circle and frozenset(step[0] for step in circle) not in reported:
            reported.add(frozenset(step[0] for step in circle))
            shown = " -> ".join([*(f"{name}.{relation}" for name, relation in circle), start])
            name, relation = circle[0]
            findings.key(
                ("objects", name, "relations", relation),
                "relation_cycle",
                f"these relations join key to key in a circle: {shown}",
                "Keep one direction; declare the way back with `many: true` or by another field.",
            )


def _identities(integration: IntegrationSpec, name: str) -> Iterator[tuple[str, str]]:
    """Yield (relation, target) of the to-one relations of `name` that join key to key."""
    declared = integration.objects[name]
    for relation_name, relation in declared.relations.items():
        target = integration.objects.get(relation.to)
        if target and not relation.many and relation.on == {declared.key: target.key}:
            yield relation_name, relation.to


def _circle(ways: Mapping[str, list[tuple[str, str]]], start: str) -> list[tuple[str, str]]:
    """Return the (object, relation) steps of a shortest way from `start` back to it, or none."""
    waiting: list[tuple[str, list[tuple[str, str]]]] = [(start, [])]
    seen: set[str] = set()
    for name, steps in waiting:
        for relation, target in ways[name]:
            way = [*steps, (name, relation)]
            if target == start:
                return way
            if target not in seen:
                seen.add(target)
                waiting.append((target, way))
    return []
