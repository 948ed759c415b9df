"""Rules about verbs, single fields, presets and operations of access policies.

They name what exists, say something, fit together, and a tenant's only ever narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from firnline.spec.document import YamlPath
from firnline.spec.effective import effective_access, policy_for
from firnline.spec.literals import fits
from firnline.spec.model import (
    AccessSpec,
    FieldMapping,
    FieldSpec,
    FromField,
    IntegrationSpec,
    ObjectPolicy,
    ObjectSpec,
    TenantSpec,
)
from firnline.spec.policy import OnlyFor
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings, unknown
from firnline.spec.rules.policy import check_denied, check_fact, check_rows, check_unknown_rows
from firnline.spec.verbs import FIELD_VERBS, READING, FieldPolicy

_WIDENS = "A tenant may narrow the integration's policy, never widen it."
_KEEP = "keep"


def check_rights(
    findings: Findings,
    path: YamlPath,
    policy: ObjectPolicy,
    *,
    integration: IntegrationSpec,
    names: Sequence[str],
) -> None:
    """Report rules for fields and presets that do not fit the objects that a policy is about."""
    objects = {name: integration.objects[name] for name in names}
    known = {field for each in objects.values() for field in each.fields}
    for name, rule in policy.fields.items():
        place = (*path, "fields", name)
        if name not in known:
            message, hint = unknown(name, known, what="field", plural="fields")
            findings.key(place, "unknown_field", message, hint)
            continue
        if _is_kept_back(rule) and any(each.key == name for each in objects.values()):
            message = f"{quoted(name)} is a key; without it records cannot be told apart"
            findings.key(place, "key_hidden", message, "Limit the object instead.")
        for owner, each in objects.items():
            if rule.rows and name in each.fields:
                check_rows(findings, (*place, "rows"), rule.rows, integration, owner, 0)
    for verb, values in policy.presets.items():
        for name, value in values.items():
            place = (*path, "presets", verb, name)
            if name not in known:
                message, hint = unknown(name, known, what="field", plural="fields")
                findings.key(place, "unknown_field", message, hint)
            for each in objects.values():
                if name in each.fields and _check_preset(findings, place, each, name, value):
                    break


def _is_kept_back(rule: FieldPolicy) -> bool:
    """Say whether a rule keeps a field's values from somebody."""
    verbs = {} if rule.verbs is None else rule.verbs
    is_read = rule.verbs is None or ("read" in verbs and verbs["read"] is None)
    return bool(rule.rows) or rule.only_for is not None or not is_read


def check_form_of_rights(findings: Findings, path: YamlPath, policy: ObjectPolicy) -> None:
    """Report verbs, rules for fields and presets that are wrong whatever the object is."""
    _check_reading(findings, (*path, "verbs"), policy.verbs)
    _check_limits(findings, path, policy)
    for name, rule in policy.fields.items():
        place = (*path, "fields", name)
        _check_reading(findings, (*place, "verbs"), rule.verbs)
        if "rows" in rule.model_fields_set and not rule.rows:
            hint = "Write `rows: {field: {eq: value}}`, or leave `rows` out."
            findings.key((*place, "rows"), "empty_condition", "`rows` has no condition", hint)
        if not rule.model_fields_set:
            message = f"the rule for {quoted(name)} says nothing"
            findings.key(place, "empty_rule", message, "State `verbs`, `rows` or `only_for`.")
        for verb in rule.verbs or ():
            allowed = READING if policy.verbs is None else policy.verbs
            if verb not in allowed:
                message = f"{quoted(verb)} has no effect: the object does not allow it"
                hint = "A field allows what its object allows: add it to the object's `verbs`."
                findings.key(
                    _at(findings, (*place, "verbs"), verb), "verb_without_effect", message, hint
                )
    for verb in policy.presets:
        if verb not in (policy.verbs or ()):
            message = f"nothing is set: the policy does not allow {quoted(verb)}"
            hint = f"Add it: `verbs: [{', '.join((*READING, verb))}]`."
            findings.key((*path, "presets", verb), "verb_without_effect", message, hint)
    check_denied(findings, path, policy, ("verbs", "fields", "presets"))


def _check_limits(findings: Findings, path: YamlPath, policy: ObjectPolicy) -> None:
    """Report limits that everybody meets."""
    limits: dict[YamlPath, OnlyFor | None] = {(*path, "only_for"): policy.only_for}
    limits |= {(*path, "verbs", verb): each for verb, each in (policy.verbs or {}).items()}
    for name, rule in policy.fields.items():
        place = (*path, "fields", name)
        limits[(*place, "only_for")] = rule.only_for
        limits |= {(*place, "verbs", verb): each for verb, each in (rule.verbs or {}).items()}
    for where, limit in limits.items():
        check_limit(findings, where, limit)


def check_limit(findings: Findings, path: YamlPath, limit: OnlyFor | None) -> None:
    """Report a limit that everybody meets."""
    if limit is None or not limit.people:
        return
    if limit.agents is None and limit.purposes is None and limit.operations is None:
        message = f"{quoted(path[-1])} limits nobody: all agents and all people are let in"
        hint = "Name the `agents` or `purposes`; `agents: []` lets no agent in."
        findings.key(path, "empty_rule", message, hint)


def check_unknown_rights(findings: Findings, path: YamlPath, policy: ObjectPolicy) -> None:
    """Report what can be told of a provider's object before discovery."""
    for name, rule in policy.fields.items():
        if rule.rows:
            check_unknown_rows(findings, (*path, "fields", name, "rows"), rule.rows)
    for verb, values in policy.presets.items():
        for name, value in values.items():
            if isinstance(value, Mapping):
                check_fact(findings, (*path, "presets", verb, name), value)


def _check_reading(
    findings: Findings, path: YamlPath, verbs: Mapping[Any, OnlyFor | None] | None
) -> None:
    for verb in ("filter", "aggregate"):
        if verbs is not None and verb in verbs and "read" not in verbs:
            message = f"{quoted(verb)} has no effect: what may not be read decides nothing, either"
            hint = f"Add `read`, or drop {quoted(verb)}."
            findings.key(_at(findings, path, verb), "verb_without_effect", message, hint)


def _at(findings: Findings, path: YamlPath, verb: str) -> YamlPath:
    """Return where a verb stands, in a list or as a key."""
    listed = findings.document.at(path)
    return (*path, listed.index(verb) if isinstance(listed, tuple) else verb)


def _check_preset(
    findings: Findings, path: YamlPath, declared: ObjectSpec, name: str, value: Any
) -> bool:
    """Report a value that cannot be written to a field; say whether it is."""
    before = len(findings.problems)
    field = declared.fields[name]
    if isinstance(value, Mapping):
        check_fact(findings, path, value)
        if field.type not in ("id", "string", "enum", "strings"):
            message = f"facts of the token are text and do not fit a field of type {field.type}"
            findings.key(path, "bad_literal", message)
    elif value is not None and not _fits(value, field):
        message = f"{quoted(value)} does not fit a field of type {field.type}"
        findings.value(path, "bad_literal", message)
    elif field.type == "enum" and field.values and value is not None and value not in field.values:
        message, hint = unknown(str(value), field.values, what="word of this enum")
        findings.value(path, "unknown_word", message, hint)
    for provider, source in declared.sources.items():
        wrong = unwritable(source.fields.get(name), value)
        if wrong:
            message = f"{quoted(name)} cannot be set at {provider}: {wrong}"
            hint = "A preset needs a field that comes from one field of the source, as it is there."
            findings.key(path, "preset_not_writable", message, hint)
    return len(findings.problems) > before


def _fits(value: Any, field: FieldSpec) -> bool:
    if field.type == "strings":
        return isinstance(value, tuple | list) and all(isinstance(each, str) for each in value)
    return fits(value, field.type)


def unwritable(mapping: FieldMapping | None, value: Any) -> str:
    """Return why a value cannot be written through a mapping; empty where it can, or is none."""
    if mapping is None:
        return ""
    if not isinstance(mapping, FromField):
        return "it is worked out from others, not read from one field"
    if "." in mapping.from_:
        return f"it is read from another record, by {mapping.from_}"
    if mapping.values and isinstance(value, Mapping):
        return "its stored values have other names"
    stored = [each for each, word in mapping.values.items() if word == value]
    if mapping.values and value is not None and len(stored) != 1 and mapping.otherwise != _KEEP:
        return f"{quoted(value)} stands for {len(stored)} stored values"
    return ""


def check_tenant_presets(
    findings: Findings, integration: IntegrationSpec, tenant: TenantSpec
) -> None:
    """Report fields that are set in every write, and that the tenant maps so that they cannot."""
    policies = effective_access(integration, tenant).objects
    for name, mapping in tenant.mappings.items():
        policy = policy_for(policies, name)
        for values in (policy.presets if policy else {}).values():
            for field in mapping.fields.keys() & values.keys():
                path = ("mappings", name, "fields", field)
                if wrong := unwritable(mapping.fields[field], values[field]):
                    message = f"{quoted(field)} is set in every write, but cannot be: {wrong}"
                    findings.key(path, "preset_not_writable", message)


def check_operations(findings: Findings, access: AccessSpec) -> None:
    """Report rules for operations that say nothing."""
    for name, rule in access.operations.items():
        check_limit(findings, ("access", "operations", name, "only_for"), rule.only_for)
        if rule.only_for is None:
            message = f"the rule for {quoted(name)} says nothing"
            hint = "Write `only_for: {agents: [...], people: true}`."
            findings.key(("access", "operations", name), "empty_rule", message, hint)


def check_rights_narrow(findings: Findings, outer: AccessSpec, inner: AccessSpec) -> None:
    """Report verbs that a tenant allows beyond the integration, and presets that it changes."""
    for path, policy, allowed in _policies(outer, inner):
        verbs = READING if allowed.verbs is None else allowed.verbs
        for verb in policy.verbs or ():
            if verb not in verbs:
                message = f"the integration does not allow {quoted(verb)}"
                findings.key(
                    _at(findings, (*path, "verbs"), verb), "override_widens", message, _WIDENS
                )
        for name, rule in policy.fields.items():
            own = allowed.fields.get(name)
            limits = FIELD_VERBS if own is None or own.verbs is None else own.verbs
            for field_verb in rule.verbs or ():
                if field_verb not in limits:
                    message = f"the integration does not allow {quoted(field_verb)}"
                    place = _at(findings, (*path, "fields", name, "verbs"), field_verb)
                    findings.key(place, "override_widens", message, _WIDENS)
        for preset_verb, values in policy.presets.items():
            for name, value in values.items():
                set_ = allowed.presets.get(preset_verb, {})
                if name in set_ and set_[name] != value:
                    message = f"the integration sets {quoted(name)} to something else"
                    place = (*path, "presets", preset_verb, name)
                    findings.value(place, "override_widens", message, _WIDENS)


def _policies(
    outer: AccessSpec, inner: AccessSpec
) -> Iterator[tuple[YamlPath, ObjectPolicy, ObjectPolicy]]:
    """Yield where a tenant's policy stands, it, and the integration's of the same object."""
    for name, policy in inner.objects.items():
        allowed = policy_for(outer.objects, name)
        if allowed is not None and allowed.mode != "deny" != policy.mode:
            yield ("access", "objects", name), policy, allowed
    for provider, policies in inner.providers.items():
        for name, policy in policies.items():
            allowed = policy_for(outer.providers.get(provider, {}), name)
            if allowed is not None and allowed.mode != "deny" != policy.mode:
                yield ("access", "providers", provider, name), policy, allowed
