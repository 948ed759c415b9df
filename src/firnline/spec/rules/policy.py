"""Rules about row conditions, masks and tests of access policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from firnline.catalog.conditions import OPERATORS as OPERATORS_OF
from firnline.catalog.model import ScalarName
from firnline.spec.document import YamlPath
from firnline.spec.literals import OPERATORS, fits
from firnline.spec.model import AccessSpec, BuilderType, FieldSpec, IntegrationSpec, ObjectPolicy
from firnline.spec.policy import (
    ATTRIBUTES,
    PRINCIPAL_FACTS,
    PolicyTest,
    Redact,
    fits_mask,
)
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings, unknown
from firnline.spec.verbs import FIELD_VERBS, VERBS

NESTING_MAX = 8
_LISTS = frozenset({"in", "notIn", "iin", "hasAny", "hasAll"})
_WHOLE_WORDS = frozenset({"eq", "neq", "in", "notIn"})
_ASIDE = frozenset({"isNull", "isEmpty"})  # their values are never the field's


def check_policy(
    findings: Findings,
    path: YamlPath,
    policy: ObjectPolicy,
    *,
    integration: IntegrationSpec,
    names: Sequence[str],
) -> None:
    """Report rows and masks that do not fit the builder's objects that a policy is about."""
    for name in names:
        check_rows(findings, (*path, "rows"), policy.rows, integration, name, 0)
    _check_masks(findings, (*path, "mask"), policy, integration, names)
    check_form(findings, path, policy)


def check_form(findings: Findings, path: YamlPath, policy: ObjectPolicy) -> None:
    """Report what is wrong with a policy whatever the object is."""
    if "rows" in policy.model_fields_set and not policy.rows:
        hint = "Write `rows: {field: {eq: value}}`, or leave `rows` out to show every record."
        findings.key((*path, "rows"), "empty_condition", "`rows` has no condition", hint)
    for name, mask in policy.mask.items():
        if isinstance(mask, Redact) and (wrong := _pattern_fault(mask.redact)):
            message = f"{quoted(mask.redact)} is no regular expression: {wrong}"
            findings.value((*path, "mask", name, "redact"), "bad_pattern", message)
    check_denied(findings, path, policy, ("rows", "mask", "only_for"))


def check_denied(
    findings: Findings, path: YamlPath, policy: ObjectPolicy, keys: Sequence[str]
) -> None:
    """Report what a policy says of an object that it denies: most likely a forgotten mode."""
    for key in keys:
        if policy.mode == "deny" and getattr(policy, key):
            message = f"`{key}` has no effect: {quoted(path[-1])} is denied as a whole"
            hint = f"Add `mode: mirror` to show the rest of it, or drop `{key}`."
            findings.key((*path, key), "hide_without_mirror", message, hint)


def check_tests(findings: Findings, integration: IntegrationSpec, access: AccessSpec) -> None:
    """Report tests of the policy that name what is not there."""
    for position, test in enumerate(access.tests):
        path: YamlPath = ("access", "tests", position)
        if (test.person is None) == (test.principal is None):
            message = "a test names who asks by `person` or by `principal`"
            findings.key(path, "policy_test_invalid", message, "Write `person: kim@example.com`.")
        if test.object not in integration.objects:
            message, hint = unknown(test.object, integration.objects, what="object")
            findings.value((*path, "object"), "unknown_object", message, hint)
        else:
            _check_test(findings, path, integration, test)


def _check_test(
    findings: Findings, path: YamlPath, integration: IntegrationSpec, test: PolicyTest
) -> None:
    _check_record(findings, (*path, "record"), integration, test.object, test.record)
    fields = integration.objects[test.object].fields
    places = [("fields", name, name) for name in test.expect.fields]
    places += [("hidden", at, name) for at, name in enumerate(test.expect.hidden)]  # type: ignore[misc]
    for part, step, name in places:
        if name not in fields:
            message, hint = unknown(name, fields, what=f"field of {test.object}", plural="fields")
            findings.key((*path, "expect", part, step), "unknown_field", message, hint)
    for part in ("allowed", "refused"):
        for at, place in enumerate(getattr(test.expect, part)):
            name, _, verb = place.rpartition(".")
            known = FIELD_VERBS if name else VERBS
            if name and name not in fields:
                message, hint = unknown(name, fields, what=f"field of {test.object}")
                findings.value((*path, "expect", part, at), "unknown_field", message, hint)
            elif verb not in known:
                message, hint = unknown(verb, known, what="verb")
                findings.value((*path, "expect", part, at), "policy_test_invalid", message, hint)
    if test.expect.fields and not test.expect.visible:
        message = "a record that is not visible has no fields"
        findings.key((*path, "expect", "fields"), "policy_test_invalid", message)


def _check_record(
    findings: Findings,
    path: YamlPath,
    integration: IntegrationSpec,
    name: str,
    record: Mapping[str, Any],
) -> None:
    declared = integration.objects[name]
    for key, value in record.items():
        place = (*path, key)
        relation = declared.relations.get(key)
        if relation is not None and not relation.many and isinstance(value, Mapping):
            _check_record(findings, place, integration, relation.to, value)
        elif key not in declared.fields:
            message, hint = unknown(key, declared.fields, what=f"field of {name}", plural="fields")
            findings.key(place, "unknown_field", message, hint)
        elif value is not None and not _is_value(value, declared.fields[key].type):
            message = f"{quoted(value)} does not fit a field of type {declared.fields[key].type}"
            findings.value(place, "bad_literal", message)


def _is_value(value: Any, declared: BuilderType) -> bool:
    if declared == "strings":
        return isinstance(value, tuple | list) and all(isinstance(each, str) for each in value)
    return fits(value, declared)


def check_rows(
    findings: Findings,
    path: YamlPath,
    rows: Any,
    integration: IntegrationSpec,
    name: str,
    depth: int,
) -> None:
    """Report conditions that cannot be asked of the object `name`."""
    if not isinstance(rows, Mapping) or depth > NESTING_MAX:
        message = "conditions are a mapping: {field: {operator: value}}"
        deep = f"conditions are nested deeper than {NESTING_MAX}"
        findings.key(path, "empty_condition", deep if depth > NESTING_MAX else message)
        return
    declared = integration.objects[name]
    for key, wanted in rows.items():
        place = (*path, key)
        relation = declared.relations.get(key)
        if key in ("and", "or"):
            if not isinstance(wanted, tuple | list) or not wanted:
                message = f"{quoted(key)} takes a list of conditions"
                findings.key(place, "empty_condition", message)
                continue
            for position, each in enumerate(wanted):
                check_rows(findings, (*place, position), each, integration, name, depth + 1)
        elif key == "not":
            check_rows(findings, place, wanted, integration, name, depth + 1)
        elif relation is not None and relation.many:
            message = f"{quoted(key)} leads to many records: rows follow to-one relations only"
            findings.key(place, "rows_relation", message, "State the rule on the other object.")
        elif relation is not None:
            check_rows(findings, place, wanted, integration, relation.to, depth + 1)
        elif key not in declared.fields:
            known = [*declared.fields, *declared.relations]
            message, hint = unknown(key, known, what=f"field of {name}", plural="fields")
            findings.key(place, "unknown_field", message, hint)
        else:
            _check_operators(findings, place, declared.fields[key], wanted)


def check_unknown_rows(findings: Findings, path: YamlPath, rows: Any, depth: int = 0) -> None:
    """Report what can be told of conditions on a provider's object before discovery."""
    if not isinstance(rows, Mapping) or depth > NESTING_MAX:
        findings.key(path, "empty_condition", "conditions are a mapping: {field: {eq: value}}")
        return
    for key, wanted in rows.items():
        place = (*path, key)
        if key in ("and", "or") and isinstance(wanted, tuple | list) and wanted:
            for position, each in enumerate(wanted):
                check_unknown_rows(findings, (*place, position), each, depth + 1)
        elif isinstance(wanted, Mapping) and wanted and set(wanted) <= set(OPERATORS):
            for operator, operand in wanted.items():
                if isinstance(operand, Mapping):
                    check_fact(findings, (*place, operator), operand)
                elif wrong := OPERATORS[operator](operand):
                    message = f"{quoted(operator)} {wrong}"
                    findings.value((*place, operator), "bad_literal", message)
        elif isinstance(wanted, Mapping) and wanted:
            check_unknown_rows(findings, place, wanted, depth + 1)
        else:
            hint = f"Write `{key}: {{eq: value}}`."
            findings.key(place, "empty_condition", f"{quoted(key)} has no condition", hint)


def _check_operators(findings: Findings, path: YamlPath, field: FieldSpec, wanted: Any) -> None:
    if not isinstance(wanted, Mapping) or not wanted:
        hint = f"Write `{path[-1]}: {{eq: value}}`."
        findings.key(path, "empty_condition", f"{quoted(path[-1])} has no condition", hint)
        return
    scalar: ScalarName = "string" if field.type == "enum" else field.type
    for operator, operand in wanted.items():
        place = (*path, operator)
        if operator not in OPERATORS_OF[scalar]:
            what = f"operator of {field.type}"
            message, hint = unknown(operator, OPERATORS_OF[scalar], what=what, plural="operators")
            findings.key(place, "unknown_operator", message, hint)
        elif isinstance(operand, Mapping):
            check_fact(findings, place, operand)
        elif wrong := OPERATORS[operator](operand):
            findings.value(place, "bad_literal", f"{quoted(operator)} {wrong}")
        elif operator not in _ASIDE and scalar != "strings":
            _check_values(findings, place, field, operand if operator in _LISTS else [operand])


def _check_values(
    findings: Findings, path: YamlPath, field: FieldSpec, values: Sequence[Any]
) -> None:
    for value in values:
        if not fits(value, field.type):
            message = f"{quoted(value)} does not fit a field of type {field.type}"
            findings.value(path, "bad_literal", message)
        elif field.values and path[-1] in _WHOLE_WORDS and value not in field.values:
            message, hint = unknown(str(value), field.values, what="word of this enum")
            findings.value(path, "unknown_word", message, hint)


def check_fact(findings: Findings, path: YamlPath, operand: Mapping[str, Any]) -> None:
    """Report what stands in place of a value and is no fact of a token."""
    fact = operand.get("principal")
    is_fact = isinstance(fact, str) and (
        fact in PRINCIPAL_FACTS or (fact.startswith(ATTRIBUTES) and len(fact) > len(ATTRIBUTES))
    )
    if set(operand) == {"principal"} and is_fact:
        return
    message = "here stands a value or one fact of the token"
    hint = f"Write {{principal: attributes.NAME}}, or one of: {', '.join(PRINCIPAL_FACTS)}."
    findings.key(path, "unknown_fact", message, hint)


def _check_masks(
    findings: Findings,
    path: YamlPath,
    policy: ObjectPolicy,
    integration: IntegrationSpec,
    names: Sequence[str],
) -> None:
    objects = [integration.objects[name] for name in names]
    known = {field for each in objects for field in each.fields}
    for name, mask in policy.mask.items():
        place = (*path, name)
        if name not in known:
            message, hint = unknown(name, known, what="field", plural="fields")
            findings.key(place, "unknown_field", message, hint)
        elif any(each.key == name for each in objects):
            message = f"{quoted(name)} is a key; without it records cannot be told apart"
            findings.key(place, "key_hidden", message, "Deny the object instead: `mode: deny`.")
        for each in objects:
            field = each.fields.get(name)
            if field is not None and not fits_mask(mask, field.type):
                word = "redact" if isinstance(mask, Redact) else mask
                message = f"{word} cannot mask a field of type {field.type}"
                hint = "year masks dates and timestamps, all others text; null masks anything."
                findings.value(place, "mask_type", message, hint)
                break


def _pattern_fault(pattern: str) -> str:
    """Return what RE2, which the cache matches with, says against a pattern."""
    try:
        pc.replace_substring_regex(pa.array([""]), pattern, "")
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return ""
