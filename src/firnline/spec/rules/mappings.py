"""Rules about mappings, the default ones of the integration and a tenant's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firnline.connectors.manifest import Manifest
from firnline.spec.document import YamlPath
from firnline.spec.literals import OPERATORS, fits
from firnline.spec.model import (
    Constant,
    FieldMapping,
    FieldSpec,
    FromField,
    FromTags,
    IntegrationSpec,
    ObjectSpec,
    Scalar,
    When,
)
from firnline.spec.problems import near, quoted
from firnline.spec.rules.findings import Findings, unknown

Conditions = Mapping[str, Mapping[str, Any]]
KEEP = "keep"


def check_sources(
    findings: Findings, integration: IntegrationSpec, providers: Mapping[str, Manifest]
) -> None:
    """Report default mappings from unknown providers or to unknown fields, and unfit values."""
    for name, declared in integration.objects.items():
        for provider, source in declared.sources.items():
            path: YamlPath = ("objects", name, "sources", provider)
            if provider not in providers:
                message, hint = unknown(provider, providers, what="connector")
                findings.key(path, "unknown_provider", message, hint)
            if declared.key not in source.fields and declared.key in declared.fields:
                message = f"the key {quoted(declared.key)} of {name} has no source at {provider}"
                hint = f"Map it: `{declared.key}: <the provider's key field>`."
                findings.key((*path, "fields"), "key_not_mapped", message, hint)
            check_fields(findings, (*path, "fields"), name, declared, source.fields)
            check_conditions(findings, (*path, "where"), source.where)


def check_fields(
    findings: Findings,
    path: YamlPath,
    name: str,
    declared: ObjectSpec,
    fields: Mapping[str, FieldMapping | None],
) -> None:
    """Report mapped fields that `declared` does not have, and values that do not fit theirs."""
    for field_name, mapping in fields.items():
        field = declared.fields.get(field_name)
        if field is None:
            message, hint = unknown(
                field_name, declared.fields, what=f"field of {name}", plural="fields"
            )
            findings.key((*path, field_name), "unknown_field", message, hint)
        elif mapping is not None:
            _check_mapping(findings, (*path, field_name), field, mapping)


def check_conditions(findings: Findings, path: YamlPath, conditions: Conditions) -> None:
    """Report unknown operators and values that their operators cannot take."""
    for source, operators in conditions.items():
        place = (*path, source)
        if not operators:
            hint = f"Write `{source}: {{eq: value}}`."
            findings.key(place, "empty_condition", f"{quoted(source)} has no condition", hint)
        for operator, value in operators.items():
            if operator not in OPERATORS:
                message, hint = unknown(operator, OPERATORS, what="operator")
                findings.key((*place, operator), "unknown_operator", message, hint)
            elif wrong := OPERATORS[operator](value):
                findings.value((*place, operator), "bad_literal", f"{quoted(operator)} {wrong}")


def _check_mapping(
    findings: Findings, path: YamlPath, field: FieldSpec, mapping: FieldMapping
) -> None:
    match mapping:
        case FromField() | FromTags():
            for stored, word in mapping.values.items():
                _check_word(findings, (*path, "values", stored), field, word)
            _check_otherwise(findings, (*path, "otherwise"), field, mapping)
        case Constant():
            _check_word(findings, (*path, "constant"), field, mapping.constant)
        case When():
            check_conditions(findings, (*path, "when"), mapping.when)
            if field.type != "bool":
                message = f"`when` gives true or false, but {quoted(path[-1])} is a {field.type}"
                findings.key((*path, "when"), "mapping_type", message)


def _check_otherwise(
    findings: Findings, path: YamlPath, field: FieldSpec, mapping: FromField | FromTags
) -> None:
    word = mapping.otherwise
    if word is None:
        return
    if isinstance(mapping, FromField) and not mapping.values:
        message = "`otherwise` stands for values that `values` does not list, but there is no list"
        findings.key(path, "otherwise_without_values", message, "Use `constant`, or add `values`.")
    elif not (word == KEEP and isinstance(mapping, FromField)):
        _check_word(findings, path, field, word)


def _check_word(findings: Findings, path: YamlPath, field: FieldSpec, word: Scalar) -> None:
    """Report a value that is not of the field's type, or not one of its words."""
    if not fits(word, field.type):
        message = f"{quoted(word)} does not fit a field of type {field.type}"
        hint = "Quote it to make it text." if field.type in ("id", "string", "enum") else ""
        findings.value(path, "bad_literal", message, hint)
    elif field.type == "enum" and field.values and word not in field.values:
        message = f"{quoted(word)} is not a word of this enum"
        findings.value(path, "unknown_word", message, near(str(word), field.values, what="words"))
