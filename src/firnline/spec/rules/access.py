"""Rules about access policies: they name what exists, and a tenant's only ever narrow."""

from __future__ import annotations

from collections.abc import Mapping

from firnline.connectors.manifest import Manifest
from firnline.spec.document import YamlPath
from firnline.spec.effective import ANY, policy_for
from firnline.spec.model import AccessSpec, IntegrationSpec, ObjectPolicy
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings, unknown
from firnline.spec.rules.modes import check_modes, check_modes_narrow, check_verifiable
from firnline.spec.rules.policy import (
    check_denied,
    check_form,
    check_policy,
    check_tests,
    check_unknown_rows,
)
from firnline.spec.rules.verbs import (
    check_form_of_rights,
    check_operations,
    check_rights,
    check_rights_narrow,
    check_unknown_rights,
)

_WIDENS = "A tenant may narrow the integration's policy, never widen it."


def check_access(
    findings: Findings,
    integration: IntegrationSpec,
    access: AccessSpec,
    providers: Mapping[str, Manifest],
) -> None:
    """Report policies for objects, fields and providers that do not exist."""
    for name, policy in access.objects.items():
        path: YamlPath = ("access", "objects", name)
        if name != ANY and name not in integration.objects:
            message, hint = unknown(name, integration.objects, what="object")
            findings.key(path, "unknown_object", message, hint)
        else:
            _check_hidden(findings, path, integration, policy)
            others = [each for each in integration.objects if each not in access.objects]
            names = others if name == ANY else [name]
            check_policy(findings, path, policy, integration=integration, names=names)
            check_rights(findings, path, policy, integration=integration, names=names)
            check_form_of_rights(findings, path, policy)
        check_denied(findings, path, policy, ("hide",))
    for provider, policies in access.providers.items():
        if provider not in providers:
            message, hint = unknown(provider, providers, what="connector")
            findings.key(("access", "providers", provider), "unknown_provider", message, hint)
        for name, policy in policies.items():
            place: YamlPath = ("access", "providers", provider, name)
            check_denied(findings, place, policy, ("hide",))
            check_form(findings, place, policy)
            check_unknown_rows(findings, (*place, "rows"), policy.rows)
            check_form_of_rights(findings, place, policy)
            check_unknown_rights(findings, place, policy)
    check_operations(findings, access)
    check_tests(findings, integration, access)
    check_modes(findings, access)
    check_verifiable(findings, integration, access, providers)


def check_narrowing(findings: Findings, outer: AccessSpec, inner: AccessSpec) -> None:
    """Report where a tenant's policy shows what the integration's does not."""
    _check_narrowing(findings, ("access", "objects"), outer.objects, inner.objects)
    for provider, policies in inner.providers.items():
        path = ("access", "providers", provider)
        _check_narrowing(findings, path, outer.providers.get(provider, {}), policies)
    check_modes_narrow(findings, outer, inner)
    check_rights_narrow(findings, outer, inner)


def _check_narrowing(
    findings: Findings,
    path: YamlPath,
    outer: Mapping[str, ObjectPolicy],
    inner: Mapping[str, ObjectPolicy],
) -> None:
    for name, policy in inner.items():
        if policy.mode == "deny":
            continue
        allowed = policy_for(outer, name)
        what = "all other objects" if name == ANY else quoted(name)
        place = (*path, name, "mode")
        if allowed is None and not (name == ANY and outer):
            message = f"the integration grants no access to {what}, so the tenant cannot"
            findings.value(place, "override_widens", message, _WIDENS)
        elif allowed is not None and allowed.mode == "deny":
            message = f"the integration denies {what}, so the tenant cannot mirror it"
            findings.value(place, "override_widens", message, _WIDENS)


def _check_hidden(
    findings: Findings, path: YamlPath, integration: IntegrationSpec, policy: ObjectPolicy
) -> None:
    """Report hidden fields that the object, or for "*" every object, does not have."""
    objects = integration.objects
    names = list(objects) if path[-1] == ANY else [str(path[-1])]
    known = {field for name in names for field in objects[name].fields}
    keys = {objects[name].key for name in names}
    for position, field in enumerate(policy.hide):
        place = (*path, "hide", position)
        if field not in known:
            what = "field" if path[-1] == ANY else f"field of {path[-1]}"
            message, hint = unknown(field, known, what=what, plural="fields")
            findings.value(place, "unknown_field", message, hint)
        elif field in keys:
            message = f"{quoted(field)} is a key; without it records cannot be told apart"
            findings.value(place, "key_hidden", message, "Deny the object instead: `mode: deny`.")
