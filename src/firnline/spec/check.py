"""Cross-checks of a whole project: runs the rules over every document.

Takes validated models with their documents; `spec.load` receives the problems. `notes_on` tells
what is allowed but worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from firnline.connectors.manifest import Manifest
from firnline.spec.document import Document
from firnline.spec.effective import (
    EffectiveMapping,
    effective_access,
    effective_mappings,
    policy_for,
)
from firnline.spec.model import FromField, IntegrationSpec, Project, TenantSpec
from firnline.spec.problems import Problem
from firnline.spec.rules.access import check_access, check_narrowing
from firnline.spec.rules.agents import check_agents, check_people, check_tenant_agents
from firnline.spec.rules.findings import Findings
from firnline.spec.rules.mappings import check_sources
from firnline.spec.rules.modes import check_verified_mappings
from firnline.spec.rules.names import check_connection_names, check_names
from firnline.spec.rules.objects import check_objects
from firnline.spec.rules.tenants import check_sync, check_tenant
from firnline.spec.rules.verbs import check_tenant_presets


@dataclass(frozen=True, slots=True)
class Note:
    """Something allowed that the builder may not have meant."""

    tenant: str
    code: str
    message: str


def check_integration(
    integration: IntegrationSpec, document: Document, *, providers: Mapping[str, Manifest]
) -> list[Problem]:
    """Return what is wrong with firnline.yaml beyond its single values."""
    findings = Findings(document)
    check_names(findings, integration)
    check_objects(findings, integration)
    check_sources(findings, integration, providers)
    check_sync(findings, integration.sync, providers)
    check_access(findings, integration, integration.access, providers)
    check_agents(findings, integration, integration.agents)
    return findings.problems


def check_tenant_spec(
    integration: IntegrationSpec,
    tenant: TenantSpec,
    document: Document,
    *,
    providers: Mapping[str, Manifest],
) -> list[Problem]:
    """Return what is wrong with one tenant's file, given the integration."""
    findings = Findings(document)
    check_connection_names(findings, integration, tenant)
    check_tenant(findings, integration, tenant, providers)
    check_access(findings, integration, tenant.access, providers)
    check_narrowing(findings, integration.access, tenant.access)
    check_verified_mappings(findings, integration, tenant, providers)
    check_tenant_agents(findings, integration, tenant)
    check_people(findings, tenant)
    check_tenant_presets(findings, integration, tenant)
    return findings.problems


def notes_on(project: Project, tenant: str) -> Iterator[Note]:
    """Yield what `tenant` lacks, and fields hidden on one face of the graph only."""
    integration = project.integration
    mappings = effective_mappings(project, tenant)
    access = effective_access(integration, project.tenants[tenant])
    for name, declared in integration.objects.items():
        mapping = mappings.get(name)
        policy = policy_for(access.objects, name)
        if mapping is None:
            message = f"{name} is absent: no connection of this tenant provides it"
            yield Note(tenant, "object_absent", message)
            continue
        if policy is None or policy.mode == "deny":
            yield Note(tenant, "object_denied", f"{name} is absent: the access policy denies it")
            continue
        unmapped = [field for field in declared.fields if field not in mapping.fields]
        if unmapped:
            message = f"{name} has no source for: {', '.join(unmapped)}"
            yield Note(tenant, "fields_absent", message)
        shown = policy_for(access.providers.get(mapping.provider, {}), mapping.source)
        if shown is not None and shown.mode != "deny":
            yield from _shown_elsewhere(tenant, mapping, policy.hide, shown.hide)


def _shown_elsewhere(
    tenant: str, mapping: EffectiveMapping, hidden: tuple[str, ...], source_hidden: tuple[str, ...]
) -> Iterator[Note]:
    """Yield hidden fields that the provider's own object still shows."""
    for field in hidden:
        source = mapping.fields.get(field)
        if isinstance(source, FromField) and source.from_ not in source_hidden:
            message = (
                f"{mapping.object}.{field} is hidden, but {mapping.provider} still shows it as "
                f"{mapping.source}.{source.from_}: hide it under access.providers, too"
            )
            yield Note(tenant, "hidden_on_one_face", message)
