"""What holds for one tenant: the integration's defaults with the tenant's differences applied.

Takes checked models; catalog.mapping, sync, access and graph receive the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from firnline.errors import UnknownTenantError
from firnline.spec.durations import shorter
from firnline.spec.model import (
    AccessSpec,
    FieldMapping,
    IntegrationSpec,
    ObjectPolicy,
    ObjectSpec,
    Project,
    SourceSpec,
    SyncSpec,
    TenantMapping,
    TenantSpec,
)
from firnline.spec.modes import is_mirrored, stricter
from firnline.spec.policy import joined, narrower, strongest
from firnline.spec.verbs import (
    READING,
    common_verbs,
    limits_of,
    narrowed_fields,
    narrowed_operations,
    narrowed_presets,
)

ANY = "*"
_NOTHING = ObjectPolicy(mode="deny")


class EffectiveMapping(BaseModel):
    """Where one builder's object comes from at one tenant.

    `source` is the provider's object; `fields` leaves out those that have no source there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    object: str
    connection: str
    provider: str
    source: str
    where: Mapping[str, Mapping[str, Any]]
    fields: Mapping[str, FieldMapping]


def narrowed(outer: ObjectPolicy, inner: ObjectPolicy | None) -> ObjectPolicy:
    """Return what both policies allow, in the stricter of their modes.

    Records meet the conditions of both, masks show no more than either's, limits of who may ask
    hold together. Of two limits of age the shorter one holds, of two lives of a verdict as well.
    """
    if inner is None:
        return outer
    if "deny" in (outer.mode, inner.mode):
        return _NOTHING
    return ObjectPolicy(
        mode=stricter(outer.mode, inner.mode),
        hide=tuple(dict.fromkeys((*outer.hide, *inner.hide))),
        rows=joined(outer.rows, inner.rows),
        mask=strongest(outer.mask, inner.mask),
        only_for=narrower(outer.only_for, inner.only_for),
        verbs=common_verbs(outer.verbs, inner.verbs, READING),
        fields=narrowed_fields(outer.fields, inner.fields),
        presets=narrowed_presets(outer.presets, inner.presets),
        max_age=shorter(outer.max_age, inner.max_age),
        verified_for=shorter(outer.verified_for, inner.verified_for),
    )


def policy_for(policies: Mapping[str, ObjectPolicy], name: str) -> ObjectPolicy | None:
    """Return the policy that names `name` or, failing that, the one for "*"."""
    return policies.get(name) or policies.get(ANY)


def _narrowed_all(
    outer: Mapping[str, ObjectPolicy],
    inner: Mapping[str, ObjectPolicy],
    access: tuple[AccessSpec, AccessSpec],
) -> dict[str, ObjectPolicy]:
    """Narrow every name that either side mentions; a name the outer side misses stays denied."""
    found = {}
    for name in dict.fromkeys((*outer, *inner)):
        allowed = _aged(policy_for(outer, name) or _NOTHING, access[0])
        own = policy_for(inner, name)
        # The tenant's limits hold for what its policies do not name, too.
        allowed = allowed if own is not None else _limited(allowed, access[1])
        found[name] = narrowed(allowed, None if own is None else _aged(own, access[1]))
    return found


def _aged(policy: ObjectPolicy, section: AccessSpec) -> ObjectPolicy:
    """Return a policy with the section's limits where it states none."""
    limited = _limited(policy, section)
    changed = {
        "max_age": policy.max_age or limited.max_age,
        "verified_for": policy.verified_for or limited.verified_for,
    }
    return policy.model_copy(update=changed)


def _limited(policy: ObjectPolicy, section: AccessSpec) -> ObjectPolicy:
    """Return a policy with the shorter of its own limits and the section's."""
    if not is_mirrored(policy.mode):
        return policy
    changed = {
        "max_age": shorter(policy.max_age, section.max_age),
        "verified_for": shorter(policy.verified_for, section.verified_for),
    }
    return policy.model_copy(update=changed)


def effective_access(integration: IntegrationSpec, tenant: TenantSpec) -> AccessSpec:
    """Return the integration's policy narrowed by the tenant's; never wider than either.

    Each policy of the result states its own limit of age, if there is any.
    """
    outer, inner = integration.access, tenant.access
    both = (outer, inner)
    return AccessSpec(
        objects=_narrowed_all(outer.objects, inner.objects, both),
        providers={
            provider: _narrowed_all(
                outer.providers.get(provider, {}), inner.providers.get(provider, {}), both
            )
            for provider in dict.fromkeys((*outer.providers, *inner.providers))
        },
        operations=narrowed_operations(outer.operations, inner.operations),
    )


def asks_for_operations(access: AccessSpec) -> bool:
    """Say whether a policy limits anything to certain published operations."""
    policies = [*access.objects.values()]
    policies += [each for found in access.providers.values() for each in found.values()]
    return any(
        limit is not None and limit.operations is not None
        for policy in policies
        for limit in limits_of(policy.only_for, policy.verbs, policy.fields)
    )


def effective_sync(integration: IntegrationSpec, tenant: TenantSpec) -> SyncSpec:
    """Return the integration's sync settings, replaced where the tenant says something."""
    outer, inner = integration.sync, tenant.sync
    if inner is None:
        return outer
    every = inner.every if "every" in inner.model_fields_set else outer.every
    return SyncSpec(every=every, objects={**outer.objects, **inner.objects})


def chosen_connection(
    declared: ObjectSpec, mapping: TenantMapping | None, tenant: TenantSpec
) -> str | None:
    """Return the connection an object comes from: the mapping's own, else the first with a source.

    None when no connection of the tenant provides the object.
    """
    if mapping is not None and mapping.connection is not None:
        return mapping.connection if mapping.connection in tenant.connections else None
    for name, connection in tenant.connections.items():
        if connection.provider in declared.sources:
            return name
    return None


def effective_mapping(
    name: str, declared: ObjectSpec, tenant: TenantSpec
) -> EffectiveMapping | None:
    """Return where object `name` comes from at `tenant`, None when nothing provides it.

    Another source object than the default's leaves the default's fields and conditions behind:
    they were written for that object.
    """
    mapping = tenant.mappings.get(name) or TenantMapping()
    connection = chosen_connection(declared, mapping, tenant)
    if connection is None:
        return None
    provider = tenant.connections[connection].provider
    default = declared.sources.get(provider)
    if default is None or (mapping.object is not None and mapping.object != default.object):
        if mapping.object is None:
            return None
        default = SourceSpec(object=mapping.object)
    fields = {**default.fields, **mapping.fields}
    return EffectiveMapping(
        object=name,
        connection=connection,
        provider=provider,
        source=default.object,
        where=default.where if mapping.where is None else mapping.where,
        fields={field: source for field, source in fields.items() if source is not None},
    )


def effective_mappings(project: Project, tenant: str) -> Mapping[str, EffectiveMapping]:
    """Return the mapping of every builder's object that `tenant` has, by object name.

    Raises UnknownTenantError.
    """
    if tenant not in project.tenants:
        raise UnknownTenantError(tenant, list(project.tenants))
    spec = project.tenants[tenant]
    found = {
        name: effective_mapping(name, declared, spec)
        for name, declared in project.integration.objects.items()
    }
    return {name: mapping for name, mapping in found.items() if mapping is not None}
