"""Rules about one tenant's file: its connections, and where they differ from the defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from firnline.connectors.manifest import Manifest
from firnline.spec.effective import chosen_connection, effective_mapping, effective_sync
from firnline.spec.model import (
    ConnectionSpec,
    IntegrationSpec,
    ObjectSpec,
    SyncSpec,
    TenantMapping,
    TenantSpec,
)
from firnline.spec.problems import near, quoted
from firnline.spec.rules.findings import Findings, unknown
from firnline.spec.rules.mappings import check_conditions, check_fields

_SETTING_LENGTH_MAX = 256


def check_tenant(
    findings: Findings,
    integration: IntegrationSpec,
    tenant: TenantSpec,
    providers: Mapping[str, Manifest],
) -> None:
    """Report a wrong file name, wrong connections and mappings that cannot work."""
    _check_file_name(findings, tenant)
    for name, connection in tenant.connections.items():
        _check_connection(findings, name, connection, providers)
    for name, mapping in tenant.mappings.items():
        declared = integration.objects.get(name)
        if declared is None:
            message, hint = unknown(name, integration.objects, what="object")
            findings.key(("mappings", name), "unknown_object", message, hint)
            continue
        _check_mapping(findings, tenant, (name, declared), mapping)
    if tenant.sync is not None:
        check_sync(findings, tenant.sync, providers)
    _check_synced(findings, integration, tenant)


def check_sync(findings: Findings, sync: SyncSpec, providers: Mapping[str, Manifest]) -> None:
    """Report sync patterns for providers that do not exist, and empty patterns."""
    for provider, objects in sync.objects.items():
        if provider not in providers:
            message, hint = unknown(provider, providers, what="connector")
            findings.key(("sync", "objects", provider), "unknown_provider", message, hint)
        for part, patterns in (("include", objects.include), ("exclude", objects.exclude)):
            for position, pattern in enumerate(patterns):
                if not pattern.strip():
                    place = ("sync", "objects", provider, part, position)
                    findings.value(place, "empty_pattern", "an empty pattern matches nothing")


def _check_file_name(findings: Findings, tenant: TenantSpec) -> None:
    stem = PurePosixPath(findings.document.file).stem
    if stem != tenant.tenant:
        message = f"the file is called {quoted(stem)}, the tenant {quoted(tenant.tenant)}"
        hint = f"Rename the file to tenants/{tenant.tenant}.yaml, or the tenant."
        findings.value(("tenant",), "tenant_file_name", message, hint)


def _check_connection(
    findings: Findings, name: str, connection: ConnectionSpec, providers: Mapping[str, Manifest]
) -> None:
    path = ("connections", name)
    if connection.provider not in providers:
        message, hint = unknown(connection.provider, providers, what="connector")
        findings.value((*path, "provider"), "unknown_provider", message, hint)
        return
    flows = providers[connection.provider].flows
    if connection.auth and connection.auth not in flows:
        message = f"{connection.provider} does not sign in by {quoted(connection.auth)}"
        hint = f"Its flows: {', '.join(flows)}."
        findings.value((*path, "auth"), "unknown_auth_flow", message, hint)
    if connection.limits is not None:
        limits = providers[connection.provider].limits
        for budget in limits.unknown(connection.limits):
            known = [each.name for each in limits.rates]
            hint = near(budget, known, what="limits")
            message = f"{connection.provider} has no limit {quoted(budget)}"
            findings.key((*path, "limits", "rates", budget), "unknown_limit", message, hint)
    declared = providers[connection.provider].settings
    for setting, value in connection.settings.items():
        place = (*path, "settings", setting)
        if setting not in declared:
            message, hint = unknown(setting, declared, what=f"setting of {connection.provider}")
            hint = near(setting, declared, what="settings")
            findings.key(place, "unknown_setting", message, hint)
        elif len(value) > _SETTING_LENGTH_MAX or not re.fullmatch(declared[setting].pattern, value):
            message = f"{quoted(value)} is not a {setting} of {connection.provider}"
            hint = f"{declared[setting].title}; for example {declared[setting].example}."
            findings.value(place, "bad_setting", message, hint)
    for setting in declared:
        if setting not in connection.settings and not declared[setting].optional:
            message = f"connection {quoted(name)} needs the setting {quoted(setting)}"
            hint = f"{declared[setting].title}; for example {declared[setting].example}."
            findings.key((*path, "settings"), "missing_setting", message, hint)


def _check_mapping(
    findings: Findings,
    tenant: TenantSpec,
    target: tuple[str, ObjectSpec],
    mapping: TenantMapping,
) -> None:
    name, declared = target
    path = ("mappings", name)
    check_fields(findings, (*path, "fields"), name, declared, mapping.fields)
    check_conditions(findings, (*path, "where"), mapping.where or {})
    if mapping.connection is not None and mapping.connection not in tenant.connections:
        message, hint = unknown(mapping.connection, tenant.connections, what="connection")
        findings.value((*path, "connection"), "unknown_connection", message, hint)
        return
    connection = chosen_connection(declared, mapping, tenant)
    effective = effective_mapping(name, declared, tenant)
    if connection is None:
        message = f"none of the tenant's connections has a default source for {name}"
        hint = "Name the `connection` and the provider's `object`."
        findings.key(path, "no_source", message, hint)
    elif effective is None:
        provider = tenant.connections[connection].provider
        message = f"{name} has no default source at {provider}"
        findings.key(path, "no_source", message, "Name the provider's `object`.")
    elif declared.key in declared.fields and declared.key not in effective.fields:
        message = f"the key {quoted(declared.key)} of {name} has no source in {effective.source}"
        hint = f"Map it: `{declared.key}: <the key field of {effective.source}>`."
        if mapping.object is not None:
            hint += " Another `object` leaves the default fields behind."
        findings.key((*path, "fields"), "key_not_mapped", message, hint)


def _check_synced(findings: Findings, integration: IntegrationSpec, tenant: TenantSpec) -> None:
    """Report objects that a mapping reads and the sync patterns leave out."""
    sync = effective_sync(integration, tenant)
    for name, declared in integration.objects.items():
        mapping = effective_mapping(name, declared, tenant)
        patterns = sync.objects.get(mapping.provider) if mapping else None
        if mapping is None or patterns is None:
            continue
        included = any(fnmatchcase(mapping.source, pattern) for pattern in patterns.include)
        if not included or any(fnmatchcase(mapping.source, each) for each in patterns.exclude):
            message = f"{name} comes from {mapping.source}, which the sync patterns leave out"
            hint = f"Include {mapping.source} in the sync objects of {mapping.provider}."
            findings.key(("mappings", name), "source_not_synced", message, hint)
