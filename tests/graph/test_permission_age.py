"""Rights that were read too long ago show nothing, wherever an answer could still come from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.graph.world import CATALOGS, NOW, World, seeded

from firnline.access.principal import Principal
from firnline.cache.bookkeeping import Checkpoint
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.respond import Responder
from firnline.graph.tenants import TenantGraphs
from firnline.spec.model import AccessSpec

MIRROR = {"mode": "mirror"}
HOUR = timedelta(hours=1)
LIST = "{ accounts(first: 3) { nodes { name deals(first: 2) { nodes { title } } } totalCount } }"
TICKETS = "{ tickets(first: 2) { nodes { subject } } }"
EMPTY = {"accounts": {"nodes": [], "totalCount": 0}}


class AgedWorld(World):
    """A world with the access section that a test states, and one clock."""

    def renew(self) -> None:
        """Forget what was built so far, as a restart does."""
        self.graphs = TenantGraphs(self.project, catalogs=self.state, clock=self.clock)
        self.responder = Responder(
            self.graphs,
            databases=self._database,
            operations=self.state,
            seal=CursorSeal(b"k" * 32),
            clock=self.clock,
            resident=self.resident,
            kept_bytes=1 << 24 if self.resident is not None else 0,
        )

    def state_access(self, **access: Any) -> None:
        """Make this the integration's access section; everything of both providers is mirrored."""
        providers = {"alpine": {"*": MIRROR}, "basalt": {"*": MIRROR}}
        stated = AccessSpec.model_validate(
            {"objects": {"*": MIRROR}, "providers": providers, **access}
        )
        integration = self.project.integration.model_copy(update={"access": stated})
        self.project = self.project.model_copy(update={"integration": integration})
        self.renew()

    def synced(self, at: datetime | None, names: Iterable[tuple[str, str]] = ()) -> None:
        """Note that a complete read of objects, or of all there are, began at a time."""
        every = [(name, each.name) for name, found in CATALOGS.items() for each in found.objects]
        with self.database().transaction() as transaction:
            for connection, name in names or every:
                transaction.save_checkpoint(
                    Checkpoint(connection=connection, object=name, run="1", completed_at=at)
                )

    def pass_time(self, span: timedelta) -> None:
        """Let the clock move on."""
        self.runner.run(self.clock.sleep(span.total_seconds()))

    def notes(self, query: str, email: str = "all@x.test") -> dict[str, dict[str, str]]:
        """Return what an answer withheld, by coordinate."""
        listed = self.ask(query, email)["extensions"]["access"]
        return {note["coordinate"]: note for note in listed}


@pytest.fixture(params=["duckdb", "resident"])
def aged(request: pytest.FixtureRequest, connectors: None, tmp_path: Path) -> Any:
    """Give a filled world that was synced at this moment."""
    world = AgedWorld.open(tmp_path)
    if request.param == "resident":
        world.resident = ResidentTables(1 << 28)
        world.renew()
    world.fill(seeded())
    world.synced(NOW)
    yield world
    world.close()


def test_permission_records_older_than_the_limit_deny_the_object(aged: AgedWorld) -> None:
    """The note says how old they are, how old they may be, and what to do."""
    aged.state_access(max_age="2h")
    assert len(aged.data(LIST)["accounts"]["nodes"]) == 3

    aged.pass_time(2 * HOUR + timedelta(seconds=1))

    assert aged.data(LIST) == EMPTY
    note = aged.notes(LIST)["Account"]
    assert (note["effect"], note["source"]) == ("denied", "crm")
    assert note["reason"] == (
        "the permission records of crm are of 2026-11-22T12:00:00Z, and may be 2h old:"
        " run `firnline sync acme --connection crm`"
    )


def test_answer_asked_again_and_again_ends_exactly_with_the_limit(aged: AgedWorld) -> None:
    """Kept answers and compiled plans give it until the limit, and not a moment longer."""
    aged.state_access(max_age="2h")
    for _ in range(4):  # executed, compiled, kept, recalled
        first = aged.data(LIST)
    aged.pass_time(2 * HOUR)
    assert aged.data(LIST) == first != EMPTY

    aged.pass_time(timedelta(microseconds=1))

    for _ in range(4):
        assert aged.data(LIST) == EMPTY


def test_next_sync_of_the_permission_records_shows_the_object_again(aged: AgedWorld) -> None:
    """Also where the sync found nothing new: age counts, not change."""
    aged.state_access(max_age="2h")
    first = aged.data(LIST)
    aged.pass_time(3 * HOUR)
    assert aged.data(LIST) == EMPTY

    aged.synced(aged.clock.now())

    assert aged.data(LIST) == first
    assert aged.notes(LIST) == {}
    aged.pass_time(3 * HOUR)
    assert aged.data(LIST) == EMPTY


def test_age_counts_for_each_connection_alone(aged: AgedWorld) -> None:
    """Old rights in the CRM say nothing about the help desk."""
    aged.state_access(max_age="2h")
    aged.pass_time(HOUR)
    aged.synced(aged.clock.now(), [("desk", "grants"), ("desk", "tickets")])
    aged.pass_time(HOUR + timedelta(minutes=1))

    assert aged.data(LIST) == EMPTY
    assert len(aged.data(TICKETS)["tickets"]["nodes"]) == 2


def test_each_object_has_the_limit_that_names_it(aged: AgedWorld) -> None:
    """An object's own limit stands before that of the section."""
    objects = {"*": MIRROR, "Deal": {**MIRROR, "max_age": "30m"}}
    aged.state_access(objects=objects, max_age="2h")
    aged.pass_time(HOUR)

    (account, *_) = aged.data(LIST)["accounts"]["nodes"]
    assert account["deals"]["nodes"] == []
    assert set(aged.notes(LIST)) == {"Deal"}


@pytest.mark.parametrize("stamp", [None, NOW + timedelta(days=1)], ids=["none", "ahead"])
def test_permission_records_without_a_readable_age_are_too_old(
    aged: AgedWorld, stamp: datetime | None
) -> None:
    """Never read whole, or stamped by a clock that was wrong."""
    aged.state_access(max_age="9999d")
    aged.synced(stamp, [("crm", "grants")])

    assert aged.data(LIST) == EMPTY
    assert "were not all read whole yet" in aged.notes(LIST)["Account"]["reason"]


def test_without_a_limit_age_counts_for_nothing(aged: AgedWorld) -> None:
    """Neither how long ago it was, nor that nobody knows."""
    aged.synced(None)
    aged.pass_time(timedelta(days=900))
    assert aged.data(LIST) != EMPTY


@pytest.mark.parametrize(
    ("email", "decisive", "is_shown"),
    [
        ("all@x.test", "grants", False),  # the rights themselves
        ("all@x.test", "shares", True),  # sees everything: who shares what does not matter
        ("shared@x.test", "shares", False),  # sees what is shared
        ("rep@x.test", "accounts", False),  # sees what is theirs: the records name the owners
        ("all@x.test", "accounts", True),
        ("child@x.test", "deals", False),  # sees accounts by their deals
        ("rep@x.test", "deals", True),
    ],
)
def test_age_is_that_of_whatever_decides(
    aged: AgedWorld, email: str, decisive: str, is_shown: bool
) -> None:
    """Shares, parents, children and owners decide about rows as profiles do about objects."""
    aged.state_access(objects={"Account": MIRROR}, max_age="2h")
    aged.pass_time(HOUR)
    aged.synced(aged.clock.now())
    aged.synced(NOW, [("crm", decisive)])
    aged.pass_time(HOUR + timedelta(minutes=1))

    assert ("Account" not in aged.notes("{ accounts { nodes { id } } }", email)) is is_shown


REFUSED = "object_not_readable"


@pytest.mark.parametrize(
    ("query", "judge"),
    [
        ("{ accounts(where: {deals: {some: {}}}) { totalCount } }", REFUSED),
        ("{ accounts(where: {deals: {aggregate: {count: {gt: 0}}}}) { totalCount } }", REFUSED),
        ("{ deals { aggregate { count } } }", {"deals": {"aggregate": {"count": 0}}}),
        (
            "{ deals { groupBy(by: [{stage: VALUE}]) { key { stage } } } }",
            {"deals": {"groupBy": []}},
        ),
        ('{ deal(id: "d01") { title } }', {"deal": None}),
        ('{ dealsByKey(keys: ["d01"]) { title } }', {"dealsByKey": [None]}),
        ('{ __type(name: "Deal") { name } }', {"__type": None}),
        ("{ crm { deals { totalCount } } }", {"crm": {"deals": {"totalCount": 0}}}),
    ],
)
def test_nothing_of_an_object_with_old_rights_is_seen_in_any_way(
    aged: AgedWorld, query: str, judge: Any
) -> None:
    """Filters, counts, groups, records by key and introspection ask the same scans."""
    old = {**MIRROR, "max_age": "1h"}
    providers = {"alpine": {"*": MIRROR, "deals": old}, "basalt": {"*": MIRROR}}
    aged.state_access(objects={"*": MIRROR, "Deal": old}, providers=providers)
    fresh = aged.data(query)
    aged.pass_time(2 * HOUR)

    answer = aged.ask(query)

    assert answer["data"] != fresh
    if judge == REFUSED:
        assert [each["extensions"]["code"] for each in answer["errors"]] == [REFUSED]
    else:
        assert answer["data"] == judge


def test_answer_under_way_when_the_limit_passes_is_not_shared_with_later_askers(
    aged: AgedWorld,
) -> None:
    """The same question a moment later is decided anew."""
    aged.state_access(max_age="2h")
    aged.data(LIST)
    principal = Principal(tenant="acme", email="all@x.test")
    graph = aged.runner.run(aged.graphs.graph("acme"))
    before = aged.graphs.term(graph, principal)
    aged.pass_time(2 * HOUR)
    assert aged.graphs.term(graph, principal) == before
    aged.pass_time(timedelta(seconds=1))
    assert aged.graphs.term(graph, principal) != before


BY_ACCOUNT = {"account": {"rating": {"gte": 0}}}
DEALS = "{ deals(first: 3) { nodes { id amount } totalCount } }"


@pytest.mark.parametrize("mode", ["policy", "mirror"])
@pytest.mark.parametrize(
    ("own", "other", "hours"), [("2h", None, 2), (None, "3h", 3), ("4h", "3h", 3), ("2h", "3h", 2)]
)
def test_conditions_look_at_records_within_the_limits_of_both_objects(
    aged: AgedWorld, mode: str, own: str | None, other: str | None, hours: int
) -> None:
    """A rule about the account of a deal is not decided by accounts older than either allows."""
    deal = {"mode": mode, "rows": BY_ACCOUNT, "max_age": own}
    aged.state_access(objects={"*": MIRROR, "Deal": deal, "Account": {**MIRROR, "max_age": other}})
    # Only the records that the condition looks at are old.
    aged.pass_time(HOUR)
    aged.synced(NOW + HOUR, [("crm", each.name) for each in CATALOGS["crm"].objects])
    aged.synced(NOW, [("crm", "accounts")])
    for _ in range(3):
        assert aged.data(DEALS)["deals"]["totalCount"] > 3

    aged.pass_time((hours - 1) * HOUR)
    assert aged.data(DEALS)["deals"]["totalCount"] > 3
    aged.pass_time(timedelta(microseconds=1))
    for _ in range(2):
        assert aged.data(DEALS) == {"deals": {"nodes": [], "totalCount": 0}}

    note = aged.notes(DEALS)["Deal"]
    assert (note["effect"], note["source"]) == ("denied", "policy")
    assert "records of crm that are of 2026-11-22T12:00:00Z" in note["reason"]
    aged.synced(aged.clock.now())
    assert aged.data(DEALS)["deals"]["totalCount"] > 3


def test_condition_of_a_field_that_looks_at_old_records_withholds_the_field_alone(
    aged: AgedWorld,
) -> None:
    fields = {"amount": {"rows": BY_ACCOUNT}}
    deal = {**MIRROR, "fields": fields}
    aged.state_access(objects={"*": MIRROR, "Deal": deal, "Account": {**MIRROR, "max_age": "2h"}})
    assert any(node["amount"] for node in aged.data(DEALS)["deals"]["nodes"])

    aged.pass_time(2 * HOUR + timedelta(seconds=1))

    nodes = aged.data(DEALS)["deals"]["nodes"]
    assert [node["amount"] for node in nodes] == [None] * 3
    assert aged.notes(DEALS)["Deal.amount"]["effect"] == "masked"


def test_conditions_look_at_nothing_that_was_never_read_whole(aged: AgedWorld) -> None:
    deal = {"mode": "policy", "rows": BY_ACCOUNT, "max_age": "2h"}
    aged.state_access(objects={"*": MIRROR, "Deal": deal})
    aged.synced(None, [("crm", "accounts")])
    assert aged.data(DEALS)["deals"]["totalCount"] == 0
    assert "were not all read whole yet" in aged.notes(DEALS)["Deal"]["reason"]
