"""A tenant whose data is not there yet, or not whole, is told so and never shown too much."""

from __future__ import annotations

import pytest
from tests.graph.rights import grant
from tests.graph.world import ACCOUNTS, CATALOGS, NOW, World, fields, seeded, seen

from firnline.access.model import FieldIn, FieldIsNull, Listed, RowRule, Via, ViaChild
from firnline.cache.bookkeeping import Checkpoint
from firnline.catalog.mapping import MappingError
from firnline.errors import FirnlineError


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


def without(*names: str) -> dict[tuple[str, str], list[dict[str, object]]]:
    return {slot: rows for slot, rows in seeded().items() if slot[1] not in names}


def test_tenant_without_catalogs_has_no_data_yet(own_world: World) -> None:
    with pytest.raises(FirnlineError) as caught:
        own_world.ask("{ __typename }", tenant="empty")
    assert caught.value.code == "no_data_yet"
    assert caught.value.hint


def test_unknown_tenant_is_refused(own_world: World) -> None:
    with pytest.raises(FirnlineError) as caught:
        own_world.ask("{ __typename }", tenant="nobody")
    assert caught.value.code == "unknown_tenant"


def test_object_not_synced_yet_is_an_error_with_a_next_step(own_world: World) -> None:
    own_world.fill(without("deals"))
    response = own_world.ask("{ accounts { nodes { deals { totalCount } } } }")
    assert response["errors"][0]["extensions"]["code"] == "object_not_synced"
    assert "firnline sync acme" in response["errors"][0]["extensions"]["hint"]
    assert own_world.data("{ accounts { totalCount } }")["accounts"]["totalCount"] == 24


def test_permissions_not_synced_yet_deny_everything(own_world: World) -> None:
    own_world.fill(without("grants"))
    response = own_world.ask("{ accounts { totalCount nodes { id } } tickets { totalCount } }")
    assert response["data"]["accounts"] == {"totalCount": 0, "nodes": []}
    assert {note["effect"] for note in response["extensions"]["access"]} == {"denied"}


def test_field_discovered_after_the_last_sync_is_null_and_filters_as_null(
    own_world: World,
) -> None:
    own_world.fill(seeded())
    grown = ACCOUNTS.model_copy(update={"fields": (*ACCOUNTS.fields, *fields(fresh="decimal"))})
    own_world.discovered("acme", "crm", with_object(grown))

    data = own_world.data(
        """{ crm { accounts(first: 1, orderBy: [{fresh: ASC}]) { nodes { fresh }
               aggregate { sum { fresh } } }
             none: accounts(where: {fresh: {gt: 1}}) { totalCount }
             all: accounts(where: {fresh: {isNull: true}}) { totalCount } } }"""
    )["crm"]

    assert data["accounts"] == {"nodes": [{"fresh": None}], "aggregate": {"sum": {"fresh": None}}}
    assert data["none"] == {"totalCount": 0}
    assert data["all"] == {"totalCount": 24}


@pytest.mark.parametrize(
    "rule",
    [
        FieldIsNull("fresh"),
        FieldIn("fresh", frozenset({"x"})),
        Via("fresh", "users", FieldIn("team", frozenset({"north"}))),
        ViaChild("accounts", "fresh", FieldIn("tier", frozenset({"A"}))),
        Listed("shares", "record_id", "user_id", frozenset({"u3"}), (), "fresh"),
        Listed("accounts", "fresh", "tier", frozenset({"A"})),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_rule_over_a_field_not_synced_yet_grants_nothing(own_world: World, rule: RowRule) -> None:
    rows = seeded()
    rows["crm", "grants"].append(grant("new@x.test", "accounts", seen(rule)))
    own_world.fill(rows)
    grown = ACCOUNTS.model_copy(update={"fields": (*ACCOUNTS.fields, *fields(fresh="id"))})
    own_world.discovered("acme", "crm", with_object(grown))

    data = own_world.data("{ accounts { totalCount nodes { id } } }", "new@x.test")

    assert data["accounts"] == {"totalCount": 0, "nodes": []}


def test_mapping_to_a_field_that_is_gone_names_near_ones(own_world: World) -> None:
    kept = tuple(f for f in ACCOUNTS.fields if f.name != "revenue")
    renamed = ACCOUNTS.model_copy(update={"fields": (*kept, *fields(revenues="decimal"))})
    own_world.fill(seeded())
    own_world.discovered("acme", "crm", with_object(renamed))

    with pytest.raises(MappingError) as caught:
        own_world.ask("{ accounts { totalCount } }")

    assert "Account.revenue" in caught.value.message
    assert "revenues" in caught.value.hint


def test_rights_changed_by_a_sync_hold_for_the_next_question(own_world: World) -> None:
    rows = seeded()
    own_world.fill(rows)
    text = "{ accounts { totalCount } }"
    assert own_world.data(text, "rep@x.test")["accounts"]["totalCount"] > 0
    kept = [row for row in rows["crm", "grants"] if row["email"] != "rep@x.test"]
    own_world.write({("crm", "grants"): kept})
    assert own_world.data(text, "rep@x.test")["accounts"]["totalCount"] == 0


def test_freshness_is_that_of_the_last_complete_read(own_world: World) -> None:
    own_world.fill(seeded())
    text = "{ accounts { totalCount } _gateway { sources { object syncedAt } } }"
    assert own_world.ask(text)["extensions"]["freshness"] == {"crm.accounts": {"syncedAt": None}}
    with own_world.database().transaction() as transaction:
        transaction.save_checkpoint(
            Checkpoint(connection="crm", object="accounts", run="r", completed_at=NOW)
        )
    stamp = "2026-11-22T12:00:00Z"
    response = own_world.ask(text)
    assert response["extensions"]["freshness"] == {"crm.accounts": {"syncedAt": stamp}}
    sources = {s["object"]: s["syncedAt"] for s in response["data"]["_gateway"]["sources"]}
    assert sources["accounts"] == stamp
    assert sources["deals"] is None


def with_object(changed: object) -> object:
    crm = CATALOGS["crm"]
    kept = tuple(found for found in crm.objects if found.name != changed.name)
    return crm.model_copy(update={"objects": (*kept, changed)})
