"""Rules about modes and limits of age: what they need, and that a tenant's only ever narrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from firnline.connectors.manifest import Manifest
from firnline.spec.document import YamlPath
from firnline.spec.durations import duration
from firnline.spec.effective import ANY, effective_access, effective_mapping, policy_for
from firnline.spec.model import AccessSpec, IntegrationSpec, ObjectPolicy, TenantSpec
from firnline.spec.modes import is_mirrored, stricter
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings

_WIDENS = "A tenant may narrow the integration's policy, never widen it."


def check_modes(findings: Findings, access: AccessSpec) -> None:
    """Report `mode: policy` without conditions, and limits of time where no time counts."""
    for path, name, policy, _ in _policies(access, access):
        if policy.mode == "policy" and not policy.rows:
            message = f"{quoted(name)} leaves all to the builder, who says nothing"
            hint = "State `rows`: which records somebody sees, or use `mode: mirror`."
            findings.value((*path, "mode"), "policy_without_rows", message, hint)
        if policy.max_age is not None and policy.mode not in ("mirror", "policy"):
            message = f"`max_age` has no effect: {quoted(name)} is not mirrored"
            hint = "Add `mode: mirror`, or drop `max_age`."
            findings.key((*path, "max_age"), "max_age_without_mirror", message, hint)
        if policy.verified_for is not None and not is_mirrored(policy.mode):
            message = f"`verified_for` has no effect: nobody asks the source about {quoted(name)}"
            hint = "Add `mode: verify`, or `mode: mirror` with a `max_age`."
            findings.key((*path, "verified_for"), "verified_for_without_verify", message, hint)


def check_verifiable(
    findings: Findings,
    integration: IntegrationSpec,
    access: AccessSpec,
    providers: Mapping[str, Manifest],
) -> None:
    """Report `mode: verify` for what a connector cannot ask its provider about."""
    for name, policy in access.objects.items():
        if policy.mode == "verify":
            path: YamlPath = ("access", "objects", name, "mode")
            _check_asked(findings, path, _sources(integration, access, name), providers)
    for provider, policies in access.providers.items():
        for name, policy in policies.items():
            if policy.mode == "verify" and provider in providers:
                place: YamlPath = ("access", "providers", provider, name, "mode")
                source = "" if name == ANY else name
                _check_asked(findings, place, [(provider, source)], providers)


def check_verified_mappings(
    findings: Findings,
    integration: IntegrationSpec,
    tenant: TenantSpec,
    providers: Mapping[str, Manifest],
) -> None:
    """Report mappings of a tenant that lead a verified object to what cannot be asked about."""
    policies = effective_access(integration, tenant).objects
    for name in tenant.mappings:
        declared, policy = integration.objects.get(name), policy_for(policies, name)
        mapping = None if declared is None else effective_mapping(name, declared, tenant)
        if mapping is not None and policy is not None and policy.mode == "verify":
            asked = [(mapping.provider, mapping.source)]
            _check_asked(findings, ("mappings", name), asked, providers, is_key=True)


def _sources(
    integration: IntegrationSpec, access: AccessSpec, name: str
) -> Iterator[tuple[str, str]]:
    """Yield provider and object of every default source of what a policy names."""
    for each, declared in integration.objects.items():
        if each == name or (name == ANY and each not in access.objects):
            for provider, source in declared.sources.items():
                yield provider, source.object


def _check_asked(
    findings: Findings,
    path: YamlPath,
    asked: Iterable[tuple[str, str]],
    providers: Mapping[str, Manifest],
    *,
    is_key: bool = False,
) -> None:
    """Report the first object that cannot be asked about; "" stands for any of a provider."""
    for provider, name in asked:
        manifest = providers.get(provider)
        if manifest is None or manifest.can_verify(name):
            continue
        what = f"records of {name}" if name and manifest.verify else "records"
        message = f"the connector {quoted(provider)} cannot ask the source about single {what}"
        hint = "Use `mode: mirror`, or `mode: deny`."
        if manifest.verify is not None:
            hint += f" It can ask about: {', '.join(manifest.verify.objects)}."
        report = findings.key if is_key else findings.value
        report(path, "verify_unsupported", message, hint)
        return


def check_modes_narrow(findings: Findings, outer: AccessSpec, inner: AccessSpec) -> None:
    """Report where a tenant leaves out the source's rights, or lets them be older."""
    _check_age(findings, ("access",), outer.max_age, inner.max_age)
    longest, own = outer.verified_for, inner.verified_for
    _check_age(findings, ("access",), longest, own, key="verified_for")
    for path, name, policy, allowed in _policies(inner, outer):
        if allowed is None or allowed.mode == "deny":
            continue  # reported as widening already
        if stricter(allowed.mode, policy.mode) != policy.mode:
            does = "verifies" if allowed.mode == "verify" else "mirrors"
            message = f"the integration {does} {quoted(name)}, so the tenant cannot leave that out"
            findings.value((*path, "mode"), "override_widens", message, _WIDENS)
        _check_age(findings, path, allowed.max_age or outer.max_age, policy.max_age)
        longest = allowed.verified_for or outer.verified_for
        _check_age(findings, path, longest, policy.verified_for, key="verified_for")


def _check_age(
    findings: Findings,
    path: YamlPath,
    outer: str | None,
    inner: str | None,
    *,
    key: str = "max_age",
) -> None:
    if outer is None or inner is None or duration(inner) <= duration(outer):
        return
    message = f"{inner} is longer than the integration's {outer}"
    findings.value((*path, key), "override_widens", message, _WIDENS)


def _policies(
    access: AccessSpec, other: AccessSpec
) -> Iterator[tuple[YamlPath, str, ObjectPolicy, ObjectPolicy | None]]:
    """Yield where each policy stands, its name, the policy, and what the other side says."""
    faces: list[tuple[YamlPath, Mapping[str, ObjectPolicy], Mapping[str, ObjectPolicy]]] = [
        (("access", "objects"), access.objects, other.objects)
    ]
    for provider, policies in access.providers.items():
        place: YamlPath = ("access", "providers", provider)
        faces.append((place, policies, other.providers.get(provider, {})))
    for path, policies, others in faces:
        for name, policy in policies.items():
            yield (*path, name), name, policy, policy_for(others, name)
