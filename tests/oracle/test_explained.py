"""What is explained agrees with what the provider shows, and names what decides there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson
import pytest
from tests.oracle.mirror import CONNECTION, Mirror
from tests.oracle.test_revocation import REMOVALS

from firnline.access.principal import Principal
from firnline.graph.explain.access import AccessExplainer
from firnline.graph.people import Roster, rosters
from firnline.graph.policy.checks import Unasked
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.session import LazySnapshot, Session
from firnline.graph.shape import TenantGraph

# What is said before the right is removed, and what after it.
WORDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "salesforce-share": (
        ("share row: by rule, by hand or by team", '"called":"the person"', '"RowCause":"Manual"'),
        ("organisation-wide default of Account: Private", "not below the person"),
    ),
    "salesforce-group": (("public group", "which holds the person"), ("not below the person",)),
    "salesforce-role": (
        ("below the person's role", "owner: the person, someone below them"),
        ("not below the person in the hierarchy",),
    ),
    "salesforce-model": (
        ("organisation-wide default of Account: Read",),
        ("organisation-wide default of Account: Private",),
    ),
    "salesforce-assignment": (('"kind":"profile"', "read of Account"), ('"because":[]',)),
    "salesforce-field": (("read of Account.Industry",), ("no field-level read access",)),
    "salesforce-user": (('"called":"the person"',), ('"user":null', "is not active")),
    "salesforce-muting": (
        ('"kind":"permission set"', "permission set group"),
        ('"effect":"takes"', '"kind":"muting permission set"', '"name":"Muting"'),
    ),
    "zendesk-membership": (
        ("group restriction by", "which the agent is in"),
        ("group restriction by", "groups that the agent is in; none"),
    ),
    "zendesk-role": (
        ("all tickets, by", '"kind":"custom role"', "tickets: all"),
        ("assigned to the agent: restricted so by custom role", "tickets: assigned-only"),
    ),
    "zendesk-suspension": (("all tickets, by",), ('"user":null',)),
    "netsuite-permission": (('"kind":"role"', "LIST_CUSTJOB of level"), ("no View permission",)),
    "netsuite-subsidiary": (('"kind":"role"',), ("subsidiary restriction of role",)),
    "netsuite-employee": (('"kind":"role"',), ("employee restriction of role",)),
    "netsuite-column": (
        ("every field of customer not withheld",),
        ('"effect":"takes"', "customer.creditlimit: permission of level None"),
    ),
    "netsuite-inactive": (('"kind":"role"',), ('"user":null', "inactive")),
}
FIELDS = {"salesforce-field": "Industry", "netsuite-column": "creditlimit"}
GONE = {"salesforce-user", "zendesk-suspension", "netsuite-inactive"}


async def explained(
    mirror: Mirror, email: str, object_name: str, keys: Collection[str], field: str
) -> tuple[list[dict[str, Any]], Roster]:
    """Explain every record of an object, and tell who is known."""
    found = (await mirror.objects())[object_name]
    by_source = {each.mapping.from_: name for name, each in found.fields.items()}  # type: ignore[union-attr]
    tenant = mirror.sandbox.provider

    def look(graph: TenantGraph, snapshot: LazySnapshot) -> tuple[list[dict[str, Any]], Roster]:
        principal = Principal(tenant, email)
        decisions = mirror.graphs.decisions(graph, principal, snapshot)
        context = GraphContext(
            principal=principal,
            graph=graph,
            decisions=decisions,
            now=mirror.clock.now(),
            resolve=unexecuted,
            freshness=dict,
            checks=Unasked(decisions.at_source),
        )
        explainer = AccessExplainer(context, snapshot)
        name = by_source.get(field, "")
        told = [explainer.explain(found.type_name, record=key, field=name) for key in sorted(keys)]
        return told, rosters(graph, decisions.stored, snapshot)[CONNECTION]

    async with Session(mirror.database) as session:
        facts: tuple[list[dict[str, Any]], Roster] = await session.run(
            look, await mirror.graphs.graph(tenant)
        )
    return facts


async def agreed(mirror: Mirror, email: str, object_name: str, told: list[dict[str, Any]]) -> None:
    """Compare what is explained of each record with what the provider shows the person."""
    shown = {key for name, key in await mirror.shown(email) if name == object_name}
    for facts in told:
        record = facts.get("record", {"visible": False, "visibleAtSource": False})
        key = record.get("key")
        assert record["visible"] is record["visibleAtSource"] is (key in shown), facts
        assert facts["readable"] or not shown


@pytest.mark.parametrize("kind", REMOVALS)
async def test_explanation_agrees_with_the_provider_and_names_what_decides(kind: str) -> None:
    removal, (before, after), field = REMOVALS[kind], WORDS[kind], FIELDS.get(kind, "")
    email, name = removal.email, removal.object
    async with Mirror.of(removal.sandbox()) as mirror:
        keys = {key for owner, key in await mirror.shown(email) if owner == name}
        assert keys
        told, roster = await explained(mirror, email, name, keys, field)
        await agreed(mirror, email, name, told)
        text = orjson.dumps(told).decode()
        assert [word for word in before if word not in text] == [], text
        assert email in {each.email for each in roster.active}
        assert {stamp is None for each in told for stamp in each["ages"].values()} == {False}

        removal.remove(mirror.sandbox)
        if hasattr(mirror.sandbox, "advance"):
            mirror.sandbox.advance(180)
        await mirror.sync()

        told, roster = await explained(mirror, email, name, keys, field)
        await agreed(mirror, email, name, told)
        text = orjson.dumps(told).decode()
        assert [word for word in after if word not in text] == [], text
        assert (email in {each.email for each in roster.inactive}) is (kind in GONE)
