"""Rules about modes and limits of age: what they need, and that a tenant's only ever narrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from firnline.spec.document import YamlPath
from firnline.spec.durations import duration
from firnline.spec.effective import policy_for
from firnline.spec.model import AccessSpec, ObjectPolicy
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings

_WIDENS = "A tenant may narrow the integration's policy, never widen it."


def check_modes(findings: Findings, access: AccessSpec) -> None:
    """Report `mode: policy` without conditions, and limits of age where no age counts."""
    for path, name, policy, _ in _policies(access, access):
        if policy.mode == "policy" and not policy.rows:
            message = f"{quoted(name)} leaves all to the builder, who says nothing"
            hint = "State `rows`: which records somebody sees, or use `mode: mirror`."
            findings.value((*path, "mode"), "policy_without_rows", message, hint)
        if policy.max_age is not None and policy.mode != "mirror":
            message = f"`max_age` has no effect: {quoted(name)} is not mirrored"
            hint = "Add `mode: mirror`, or drop `max_age`."
            findings.key((*path, "max_age"), "max_age_without_mirror", message, hint)


def check_modes_narrow(findings: Findings, outer: AccessSpec, inner: AccessSpec) -> None:
    """Report where a tenant leaves out the source's rights, or lets them be older."""
    _check_age(findings, ("access",), outer.max_age, inner.max_age)
    for path, name, policy, allowed in _policies(inner, outer):
        if allowed is None or allowed.mode == "deny":
            continue  # reported as widening already
        if policy.mode == "policy" and allowed.mode == "mirror":
            message = f"the integration mirrors {quoted(name)}, so the tenant cannot leave that out"
            findings.value((*path, "mode"), "override_widens", message, _WIDENS)
        _check_age(findings, path, allowed.max_age or outer.max_age, policy.max_age)


def _check_age(findings: Findings, path: YamlPath, outer: str | None, inner: str | None) -> None:
    if outer is None or inner is None or duration(inner) <= duration(outer):
        return
    message = f"{inner} is longer than the integration's {outer}"
    findings.value((*path, "max_age"), "override_widens", message, _WIDENS)


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
