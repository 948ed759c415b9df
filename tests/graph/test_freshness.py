"""Every answer says how old its data is, and whether it can grow younger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from tests.graph.world import CATALOGS, NOW, World, seeded

from firnline.cache.bookkeeping import Checkpoint
from firnline.graph.cursor import CursorSeal
from firnline.graph.freshness import KnownFreshness
from firnline.graph.respond import Responder
from firnline.state.standings import Standing

LOST = Standing("needs_reconnect", datetime(2026, 11, 22, 9, 30, tzinfo=UTC))
STALE = {"connection": "needs_reconnect", "since": "2026-11-22T09:30:00Z"}
ACCOUNTS = "{ accounts(first: 1) { totalCount nodes { id } } }"
SOURCES = "{ _gateway { sources { connection object stale { connection since } } } }"


class Connections:
    """Where tests say which connections stand."""

    def __init__(self) -> None:
        self.lost: Mapping[str, Mapping[str, Standing]] = {"acme": {}}

    def of(self, tenant: str) -> Mapping[str, Standing]:
        """Return the tenant's lost connections, the same object until that changes."""
        return self.lost[tenant]


@pytest.fixture
def connections(own_world: World) -> Connections:
    told = Connections()
    own_world.fill(seeded())
    own_world.responder = Responder(
        own_world.graphs,
        databases=own_world._database,
        operations=own_world.state,
        seal=CursorSeal(b"k" * 32),
        clock=own_world.clock,
        kept_bytes=1 << 20,
        freshness=KnownFreshness(told.of),
    )
    return told


def freshness(world: World, query: str = ACCOUNTS) -> dict[str, dict[str, object]]:
    response = world.ask(query)
    assert "errors" not in response
    told: dict[str, dict[str, object]] = response["extensions"]["freshness"]
    return told


def test_data_of_a_lost_connection_is_answered_and_called_stale(
    own_world: World, connections: Connections
) -> None:
    before = own_world.data(ACCOUNTS)
    connections.lost = {"acme": {"crm": LOST}}

    assert own_world.data(ACCOUNTS) == before
    assert freshness(own_world) == {"crm.accounts": {"syncedAt": None, "stale": STALE}}


def test_other_connections_are_not_stale(own_world: World, connections: Connections) -> None:
    connections.lost = {"acme": {"desk": LOST}}

    assert freshness(own_world) == {"crm.accounts": {"syncedAt": None}}


def test_kept_answer_does_not_hide_that_its_connection_was_lost_or_came_back(
    own_world: World, connections: Connections
) -> None:
    own_world.answer(ACCOUNTS)
    kept = own_world.answer(ACCOUNTS)
    assert kept.is_kept
    assert kept.repeat is not None
    assert kept.repeat.content() == kept.content

    connections.lost = {"acme": {"crm": LOST}}
    assert kept.repeat.content() is None, "its extensions say nothing of the loss"
    stale = own_world.answer(ACCOUNTS)
    assert stale.is_kept, "the data is what it was"
    assert stale.extensions["freshness"]["crm.accounts"]["stale"] == STALE

    connections.lost = {"acme": {}}
    assert stale.repeat is not None
    assert stale.repeat.content() is None
    assert freshness(own_world) == {"crm.accounts": {"syncedAt": None}}


def test_sync_after_the_loss_leaves_it_stale(own_world: World, connections: Connections) -> None:
    connections.lost = {"acme": {"crm": LOST}}
    assert freshness(own_world)["crm.accounts"]["syncedAt"] is None
    with own_world.database().transaction() as transaction:
        transaction.save_checkpoint(
            Checkpoint(connection="crm", object="accounts", run="r", completed_at=NOW)
        )

    told = freshness(own_world)

    assert told == {"crm.accounts": {"syncedAt": "2026-11-22T12:00:00Z", "stale": STALE}}


def test_sources_say_which_are_stale(own_world: World, connections: Connections) -> None:
    connections.lost = {"acme": {"crm": LOST}}

    sources = own_world.data(SOURCES)["_gateway"]["sources"]

    assert {each["connection"] for each in sources} == set(CATALOGS)
    for each in sources:
        assert each["stale"] == (STALE if each["connection"] == "crm" else None)
