"""What holds for a tenant is the default with its differences, and access only ever narrows."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.spec.conftest import Copy

from firnline.errors import UnknownTenantError
from firnline.spec.effective import (
    effective_access,
    effective_mappings,
    effective_sync,
    policy_for,
)
from firnline.spec.load import load_project
from firnline.spec.model import (
    AccessSpec,
    FromField,
    IntegrationSpec,
    ObjectPolicy,
    SyncObjects,
    SyncSpec,
    TenantSpec,
)


def test_tenant_replaces_defaults_field_by_field(demo: Path) -> None:
    project = load_project(demo)
    deal = effective_mappings(project, "globex")["Deal"]
    default = project.integration.objects["Deal"].sources["salesforce"].fields

    assert (deal.connection, deal.provider, deal.source) == (
        "salesforce",
        "salesforce",
        "Opportunity",
    )
    stage = deal.fields["stage"]
    assert isinstance(stage, FromField)
    assert stage.from_ == "Sales_Phase__c"
    assert deal.fields["amount"] == default["amount"]
    assert set(deal.fields) == set(default)


def test_another_source_object_leaves_the_default_fields_behind(copy: Copy) -> None:
    copy.replace("tenants/globex.yaml", "      subject: Subject__c\n", "")
    meeting = effective_mappings(copy.load(), "globex")["Meeting"]
    assert meeting.source == "Customer_Meeting__c"
    assert "subject" not in meeting.fields


def test_tenant_without_a_mapping_has_the_default(demo: Path) -> None:
    project = load_project(demo)
    contact = effective_mappings(project, "acme")["Contact"]
    assert contact.fields == project.integration.objects["Contact"].sources["salesforce"].fields


def test_null_takes_a_field_out(copy: Copy) -> None:
    copy.replace("tenants/acme.yaml", "region: Region__c", "website: ~")
    fields = effective_mappings(copy.load(), "acme")["Account"].fields
    assert "website" not in fields
    assert "region" not in fields


def test_conditions_are_replaced_as_a_whole(copy: Copy) -> None:
    copy.replace(
        "firnline.yaml", "object: Opportunity\n",
        "object: Opportunity\n        where: {IsDeleted: {eq: false}}\n",
    )  # fmt: skip
    copy.replace("tenants/globex.yaml", "  Deal:\n", "  Deal:\n    where: {Amount: {gt: 0}}\n")
    project = copy.load()
    assert effective_mappings(project, "acme")["Deal"].where == {"IsDeleted": {"eq": False}}
    assert effective_mappings(project, "globex")["Deal"].where == {"Amount": {"gt": 0}}


def test_first_connection_with_a_source_is_taken_unless_another_is_named(copy: Copy) -> None:
    copy.replace(
        "tenants/acme.yaml", "connections:\n",
        "connections:\n  legacy:\n    provider: salesforce\n    settings: {domain: old}\n",
    )  # fmt: skip
    copy.replace("tenants/acme.yaml", "  Account:\n", "  Account:\n    connection: salesforce\n")
    mappings = effective_mappings(copy.load(), "acme")
    assert mappings["Account"].connection == "salesforce"
    assert mappings["Deal"].connection == "legacy"


def test_object_that_no_connection_provides_is_absent(copy: Copy) -> None:
    copy.replace(
        "tenants/acme.yaml",
        "  zendesk:\n    provider: zendesk\n    settings: {subdomain: acme}\n", "",
    )  # fmt: skip
    assert "Ticket" not in effective_mappings(copy.load(), "acme")


def test_unknown_tenant_is_refused_with_the_known_ones(demo: Path) -> None:
    with pytest.raises(UnknownTenantError) as caught:
        effective_mappings(load_project(demo), "initech")
    assert "acme, globex" in caught.value.hint


def test_tenant_replaces_only_the_sync_settings_it_names() -> None:
    integration = _integration(
        sync=SyncSpec(every="1h", objects={"salesforce": SyncObjects(exclude=("x",))})
    )
    objects = {"zendesk": SyncObjects(include=("tickets",))}
    tenant = _tenant(sync=SyncSpec.model_validate({"objects": objects}))
    merged = effective_sync(integration, tenant)
    assert merged.every == "1h"
    assert set(merged.objects) == {"salesforce", "zendesk"}
    assert effective_sync(integration, _tenant(sync=SyncSpec(every="5m"))).every == "5m"
    assert effective_sync(integration, _tenant()) == integration.sync


_POLICIES = st.builds(
    ObjectPolicy,
    mode=st.sampled_from(["mirror", "deny"]),
    hide=st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(tuple),
)
_NAMED = st.dictionaries(st.sampled_from(["*", "X", "Y", "Z"]), _POLICIES)
_ACCESS = st.builds(
    AccessSpec,
    objects=_NAMED,
    providers=st.dictionaries(st.sampled_from(["salesforce", "zendesk"]), _NAMED),
)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ({"max_age": "24h"}, {}, {"Named": "24h", "*": "24h"}),
        ({"max_age": "24h"}, {"max_age": "90m"}, {"Named": "90m", "*": "90m"}),
        ({"max_age": "90m"}, {"max_age": "1d"}, {"Named": "90m", "*": "90m"}),
        ({}, {"max_age": "2d"}, {"Named": "2d", "*": "2d"}),
        ({"named": "1h", "max_age": "24h"}, {}, {"Named": "1h", "*": "24h"}),
        ({"named": "48h", "max_age": "24h"}, {}, {"Named": "48h", "*": "24h"}),
        ({"named": "48h"}, {"named": "15m", "max_age": "1h"}, {"Named": "15m", "*": "1h"}),
        ({}, {}, {"Named": None, "*": None}),
    ],
)
def test_age_limit_of_every_policy_is_the_shortest_that_anybody_states(
    outer: dict[str, str], inner: dict[str, str], expected: dict[str, str | None]
) -> None:
    """An object's own limit stands before that of its section; the tenant's only shortens it."""
    objects = {"*": {"mode": "mirror"}, "Named": {"mode": "mirror", "max_age": outer.get("named")}}
    narrower = {"Named": {"mode": "mirror", "max_age": inner["named"]}} if "named" in inner else {}
    integration = {"objects": objects, "max_age": outer.get("max_age")}
    tenant = {"objects": narrower, "max_age": inner.get("max_age")}
    effective = effective_access(
        _integration(access=AccessSpec.model_validate(integration)),
        _tenant(access=AccessSpec.model_validate(tenant)),
    )
    assert {name: policy.max_age for name, policy in effective.objects.items()} == expected


def _integration(**facts: object) -> IntegrationSpec:
    return IntegrationSpec.model_validate(
        {
            "version": 1,
            "name": "n",
            "objects": {"X": {"fields": {"id": {"type": "id"}}}},
            "access": AccessSpec(),
            **facts,
        }
    )


def _tenant(**facts: object) -> TenantSpec:
    connections = {"crm": {"provider": "salesforce"}}
    return TenantSpec.model_validate({"tenant": "t", "connections": connections, **facts})


def _shown(access: AccessSpec) -> set[tuple[str, str, str]]:
    """Return every (face, object, field) that a policy lets through, unnamed objects included."""
    faces = {"": access.objects, **access.providers}
    shown = set()
    for face, policies in faces.items():
        for name in ("X", "Y", "Z", "unnamed"):
            policy = policy_for(policies, name)
            if policy is not None and policy.mode == "mirror":
                shown |= {(face, name, field) for field in "abc" if field not in policy.hide}
                shown.add((face, name, ""))
    return shown


@given(outer=_ACCESS, inner=_ACCESS)
def test_effective_access_is_never_wider_than_the_integrations(
    outer: AccessSpec, inner: AccessSpec
) -> None:
    effective = effective_access(_integration(access=outer), _tenant(access=inner))
    assert _shown(effective) <= _shown(outer)


@given(outer=_ACCESS, inner=_ACCESS)
def test_effective_access_shows_what_both_show(outer: AccessSpec, inner: AccessSpec) -> None:
    """Where the tenant names an object or "*", exactly what both allow; elsewhere the default."""
    shown = _shown(effective_access(_integration(access=outer), _tenant(access=inner)))
    faces = {"", *outer.providers, *inner.providers}
    for face, name in itertools.product(faces, ("X", "Y", "Z", "unnamed")):
        mine = inner.providers.get(face, {}) if face else inner.objects
        own = {each for each in _shown(outer) if each[:2] == (face, name)}
        if policy_for(mine, name) is not None:
            own &= _shown(inner)
        assert {each for each in shown if each[:2] == (face, name)} == own
