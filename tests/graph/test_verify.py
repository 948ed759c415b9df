"""Verified objects: what the source does not show now has no part in any answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.graph.asking import Writer, asks
from tests.graph.reference import LIST_FIELDS
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.test_non_interference import _other, _settled
from tests.graph.verified import (
    EXPOSED,
    VERIFY,
    DownError,
    Shown,
    Source,
    VerifiedWorld,
    everything_shown,
    mirror_says,
    mirrored_world,
    some_shown,
    verified_world,
    without_told,
)
from tests.graph.world import CATALOGS, PEOPLE, Rows, World, seeded

from firnline.access.principal import Principal
from firnline.connectors.manifest import Manifest
from firnline.connectors.registry import load_manifest
from firnline.graph.answer import Question
from firnline.graph.policy import at_source

QUESTIONS = 400 if IS_LONG else 15
SEEDS = 12 if IS_LONG else 2


@pytest.fixture(autouse=True)
def asks_about_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CRM be asked about fields, too; in other modules' worlds it is not."""

    def manifest_of(provider: str) -> Manifest:
        found = load_manifest(provider)
        assert found.verify is not None
        asking = found.verify.model_copy(update={"asks_fields": provider == "alpine"})
        return found.model_copy(update={"verify": asking})

    monkeypatch.setattr(at_source, "load_manifest", manifest_of)


@pytest.fixture
def verified(connectors: None, tmp_path: Path) -> Iterator[VerifiedWorld]:
    """Give a world whose every object is verified."""
    world = verified_world(tmp_path)
    yield world
    world.close()


@pytest.fixture(scope="module")
def both(
    connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VerifiedWorld, World]]:
    """Give a world that asks the source, and one whose mirror is up to date."""
    asking = verified_world(tmp_path_factory.mktemp("asking"), is_resident=True)
    mirroring = mirrored_world(tmp_path_factory.mktemp("mirroring"))
    yield asking, mirroring
    asking.close()
    mirroring.close()


def alike(asking: World, mirroring: World, text: str, email: str, **more: Any) -> None:
    """Ask both worlds, the asking one twice, so that verdicts are known the second time."""
    expected = _settled(mirroring.ask(text, email, **more))
    for _ in range(2):
        answered = _settled(without_told(asking.ask(text, email, **more)))
        assert orjson.dumps(answered) == orjson.dumps(expected), text


@PATIENCE
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("email", ["all@x.test", "rep@x.test", "child@x.test", "masked@x.test"])
def test_answers_are_those_of_a_mirror_that_is_up_to_date(
    both: tuple[VerifiedWorld, World], email: str, seed: int
) -> None:
    """Filters, orders, groups, relations, aggregates, pages: drawn at random."""
    asking, mirroring = both
    shown = some_shown(seed)
    mirror_says(mirroring, shown)
    asking.source.shown = shown
    asking.renew()

    @settings(
        max_examples=QUESTIONS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(ask=asks(), style=st.integers(0, 999))
    def answered_alike(ask: Any, style: int) -> None:
        text = Writer(style).operation(ask, LIST_FIELDS[ask.kind])
        alike(asking, mirroring, text, email)

    answered_alike()


NAMED = (
    *(f'{{ account(id: "a{n}") {{ id name ownerName parent {{ id }} }} }}' for n in range(1, 9)),
    '{ accountsByKey(keys: ["a1", "a2", "a3", "a4", "a5", "x"]) { id deals { totalCount } } }',
    "{ deals { groupBy(by: [{stage: VALUE}]) { key { stage } aggregate { count } } } }",
    "{ deals { aggregate { count sum { amount } avg { quantity } } } }",
    "{ accounts(distinctOn: [{segment: VALUE}]) { totalCount nodes { id segment } } }",
    '{ accounts(search: "alp") { totalCount nodes { id name ownerName } } }',
    "{ accounts(orderBy: [{ownerName: ASC}], first: 5) { nodes { id ownerName contactName } } }",
    "{ accounts(where: {ownerName: {isNull: true}}) { totalCount nodes { id } } }",
    "{ deals(orderBy: [{account: {name: DESC}}], first: 7) { nodes { id accountRegion } } }",
    "{ deals(orderBy: [{account: {deals: {aggregate: {count: DESC}}}}]) { nodes { id } } }",
    "{ accounts(where: {deals: {none: {}}}) { totalCount nodes { id } } }",
    "{ accounts(where: {deals: {every: {amount: {gt: 2}}}}) { totalCount } }",
    "{ accounts(where: {not: {parent: {rating: {gt: 2}}}}) { totalCount nodes { id } } }",
    "{ accounts(where: {tickets: {aggregate: {count: {lt: 2}}}}) { nodes { id } } }",
    "{ accounts(first: 4) { nodes { id deals(first: 2) { nodes { id ownerTeam"
    " account { id } } pageInfo { hasNextPage } } } } }",
    "{ deals(last: 5) { nodes { id } pageInfo { hasPreviousPage } } }",
    "{ crm { deals(first: 3) { totalCount nodes { id secret } } accounts { totalCount } } }",
    "{ a: accounts(first: 2) { nodes { id } } b: deals(first: 2) { nodes { id title } } }",
)


@PATIENCE
@pytest.mark.parametrize("email", sorted(PEOPLE))
def test_named_questions_are_answered_as_by_a_mirror_that_is_up_to_date(
    both: tuple[VerifiedWorld, World], email: str
) -> None:
    asking, mirroring = both
    for seed, share in ((1, 0.5), (2, 0.1), (4, 0.0)) if IS_LONG else ((1, 0.4),):
        shown = some_shown(seed, share)
        mirror_says(mirroring, shown)
        asking.source.shown = shown
        asking.renew()
        for text in NAMED:
            alike(asking, mirroring, text, email)


def test_pages_are_cut_as_by_a_mirror_that_is_up_to_date(
    both: tuple[VerifiedWorld, World],
) -> None:
    """Cursor by cursor, forwards, with verdicts that are known and that are not."""
    asking, mirroring = both
    shown = some_shown(5, 0.4)
    mirror_says(mirroring, shown)
    asking.source.shown = shown
    asking.renew()
    text = """query P($after: String) { deals(first: 4, after: $after, orderBy: [{stage: ASC}]) {
      nodes { id } pageInfo { hasNextPage endCursor } } }"""
    walks = []
    for world in (asking, mirroring):
        after, pages = None, []
        for _ in range(40):
            page = world.data(text, variables={"after": after})["deals"]
            pages.append([node["id"] for node in page["nodes"]])
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        walks.append(pages)
    assert walks[0] == walks[1]
    assert len(walks[0]) > 3


LIST = "{ accounts(first: 3) { totalCount nodes { id name } } }"
PAGE = "{ accounts(first: 3) { nodes { id name } } }"


def test_record_that_the_source_took_away_is_gone_before_any_sync(
    verified: VerifiedWorld,
) -> None:
    before = verified.data(LIST)["accounts"]
    gone = before["nodes"][0]["id"]
    verified.source.shown["crm", "accounts"] -= {gone}
    verified.renew()

    after = verified.data(LIST)["accounts"]

    assert after["totalCount"] == before["totalCount"] - 1
    assert gone not in [node["id"] for node in after["nodes"]]


def test_page_asks_about_its_own_records_alone(verified: VerifiedWorld) -> None:
    """Three, and the one that tells whether there are more."""
    verified.data(PAGE)
    assert len(verified.source.keys) == 4
    assert len(verified.source.asked) == 1


def test_no_record_is_asked_about_twice_for_one_answer(verified: VerifiedWorld) -> None:
    """However many fields, levels and aliases lead to it."""
    verified.source.shown = some_shown(3, 0.3)
    verified.renew()
    verified.data(
        "{ a: accounts { totalCount nodes { id parent { id ownerName } deals { totalCount } } }"
        " b: accounts(where: {deals: {some: {}}}) { totalCount nodes { ownerName } }"
        " deals { nodes { account { id deals { nodes { id } } } } } }"
    )
    assert len(verified.source.keys) == len(set(verified.source.keys))


def test_verdict_counts_for_the_stated_time_and_not_longer(verified: VerifiedWorld) -> None:
    verified.state_access(verified_for="30s")
    first = verified.data(PAGE)
    verified.source.shown = dict.fromkeys(verified.source.shown, frozenset())
    asked = len(verified.source.asked)

    verified.runner.run(verified.clock.sleep(30))
    assert verified.data(PAGE) == first
    assert len(verified.source.asked) == asked

    verified.runner.run(verified.clock.sleep(0.001))
    assert verified.data(PAGE) == {"accounts": {"nodes": []}}


def test_verdict_ends_with_the_version_of_the_permission_records(verified: VerifiedWorld) -> None:
    """A sync that changed rights leaves nothing behind of what was said before it."""
    verified.data(PAGE)
    asked = len(verified.source.asked)
    verified.data(PAGE)
    assert len(verified.source.asked) == asked

    mirror_says(verified, everything_shown())
    verified.data(PAGE)

    assert len(verified.source.asked) == asked + 1


def test_verdict_about_one_person_says_nothing_about_another(verified: VerifiedWorld) -> None:
    verified.data(PAGE, "all@x.test")
    verified.data(PAGE, "masked@x.test")
    assert [person for person, *_ in verified.source.asked] == ["all@x.test", "masked@x.test"]


def test_answer_of_verified_records_is_never_kept(connectors: None, tmp_path: Path) -> None:
    """Neither as an answer nor compiled: the second one asks the cache of verdicts again."""
    world = verified_world(tmp_path, is_resident=True)
    try:
        for _ in range(5):
            assert len(world.data(PAGE)["accounts"]["nodes"]) == 3
        world.source.shown["crm", "accounts"] = frozenset()
        world.runner.run(world.clock.sleep(61))
        answer = world.answer(PAGE)
        assert answer.data == {"accounts": {"nodes": []}}
        assert not answer.is_kept
    finally:
        world.close()


def test_answer_tells_how_and_when_records_were_checked_and_no_number(
    verified: VerifiedWorld,
) -> None:
    verified.source.shown = some_shown(3, 0.3)
    told = verified.ask(PAGE)["extensions"]["access"]
    assert told == [
        {
            "coordinate": "Account",
            "effect": "verified",
            "reason": "each record is checked at its source",
            "source": "crm",
            "countsFor": "60s",
            "checkedAt": "2026-11-22T12:00:00Z",
        }
    ]


@pytest.mark.parametrize("failure", [DownError("down"), TimeoutError()], ids=["down", "slow"])
def test_source_that_does_not_answer_denies_its_objects_and_nothing_else(
    verified: VerifiedWorld, failure: BaseException
) -> None:
    verified.source.failure, verified.source.failing = failure, {"crm"}
    text = "{ accounts { totalCount nodes { id } } tickets(first: 2) { nodes { subject } } }"

    response = verified.ask(text)

    assert response["data"]["accounts"] == {"totalCount": 0, "nodes": []}
    assert len(response["data"]["tickets"]["nodes"]) == 2
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "verify_unavailable"
    assert error["extensions"]["retryable"] is True
    notes = {note["coordinate"]: note for note in response["extensions"]["access"]}
    assert (notes["Account"]["effect"], notes["Account"]["code"]) == (
        "denied",
        "verify_unavailable",
    )
    assert notes["Ticket"]["effect"] == "verified"


def test_answer_is_whole_again_as_soon_as_the_source_answers(
    connectors: None, tmp_path: Path
) -> None:
    """The denial is remembered by nobody."""
    world = verified_world(tmp_path, is_resident=True)
    try:
        world.source.failure = DownError("down")
        for _ in range(3):
            assert world.ask(PAGE)["data"] == {"accounts": {"nodes": []}}
        world.source.failure = None
        assert len(world.data(PAGE)["accounts"]["nodes"]) == 3
    finally:
        world.close()


def test_object_that_cannot_be_asked_about_now_filters_nothing(verified: VerifiedWorld) -> None:
    """A count of none would tell as little as a count of all."""
    verified.source.failure, verified.source.failing = DownError("down"), {"desk"}
    text = "{ accounts(where: {tickets: {none: {}}}) { totalCount } }"
    codes = {error["extensions"]["code"] for error in verified.ask(text)["errors"]}
    assert codes == {"object_not_readable", "verify_unavailable"}


def test_too_many_candidates_refuse_the_operation_and_a_filter_makes_them_fewer(
    verified: VerifiedWorld,
) -> None:
    verified.candidates_max = 20
    verified.renew()
    assert verified.code("{ deals { totalCount } }") == "verify_too_many"
    few = '{ deals(where: {stage: {eq: "won"}, amount: {gt: 10}}) { totalCount } }'
    assert verified.data(few)["deals"]["totalCount"] > 0
    assert len(verified.data("{ deals(first: 5) { nodes { id } } }")["deals"]["nodes"]) == 5


def only_last_deal(world: VerifiedWorld) -> str:
    """Let the source show one deal: the one that comes last."""
    (node,) = world.data("{ deals(last: 1) { nodes { id } } }")["deals"]["nodes"]
    world.source.shown = {**everything_shown(), ("crm", "deals"): frozenset({node["id"]})}
    world.renew()
    world.source.asked.clear()
    return str(node["id"])


def test_hidden_candidates_count_for_a_page_too(verified: VerifiedWorld) -> None:
    """A page behind thousands of hidden records is refused, never shown half empty."""
    last = only_last_deal(verified)
    (node,) = verified.data("{ deals(first: 5) { nodes { id } } }")["deals"]["nodes"]
    assert node == {"id": last}
    verified.candidates_max = 20
    verified.renew()
    assert verified.code("{ deals(first: 5) { nodes { id } } }") == "verify_too_many"


def test_page_behind_hidden_records_is_found_in_few_questions(verified: VerifiedWorld) -> None:
    only_last_deal(verified)
    verified.data("{ deals(first: 1) { nodes { id } } }")
    assert len(verified.source.asked) <= 7


def test_mirrored_object_with_old_rights_is_verified_where_that_says_all(
    verified: VerifiedWorld,
) -> None:
    """The CRM is asked about fields, too; of the help desk nobody knows which it would hide."""
    aged = {"mode": "mirror", "max_age": "1h"}
    both_aged = {"Account": aged, "Ticket": aged}
    verified.state_access(objects={"*": VERIFY, **both_aged})

    response = verified.ask("{ accounts { totalCount } tickets(first: 2) { nodes { subject } } }")

    assert response["data"]["accounts"] == {"totalCount": 24}
    assert response["data"]["tickets"]["nodes"] == []
    notes = {note["coordinate"]: note for note in response["extensions"]["access"]}
    assert notes["Account"]["effect"] == "verified"
    assert "were not all read whole yet" in notes["Account"]["reason"]
    assert notes["Ticket"]["effect"] == "denied"
    assert load_manifest("basalt").can_verify("tickets")


REGION = '{ accounts(where: {region: {eq: "north"}}) { totalCount } }'


def test_field_that_the_source_keeps_back_now_is_null_and_decides_nothing(
    verified: VerifiedWorld,
) -> None:
    """The mirror still shows it."""
    verified.source.hidden = {"accounts": frozenset({"region"}), "users": frozenset({"name"})}
    text = "{ accounts { nodes { id region ownerName name } } deals { nodes { accountRegion } } }"

    response = verified.ask(text)

    for node in response["data"]["accounts"]["nodes"]:
        assert (node["region"], node["ownerName"]) == (None, None)
    assert any(node["name"] for node in response["data"]["accounts"]["nodes"])
    assert {node["accountRegion"] for node in response["data"]["deals"]["nodes"]} == {None}
    masked = {
        note["coordinate"]: note["reason"]
        for note in response["extensions"]["access"]
        if note["effect"] == "masked"
    }
    assert set(masked) == {"Account.region", "Account.ownerName", "Deal.accountRegion"}
    assert set(masked.values()) == {"crm keeps it back from you now"}
    assert verified.code(REGION) == "field_not_readable"


def test_word_on_fields_counts_as_long_as_that_on_records(verified: VerifiedWorld) -> None:
    """What is given back is seen as soon as what is taken away."""
    verified.source.hidden = {"accounts": frozenset({"region"})}
    assert verified.code(REGION) == "field_not_readable"
    verified.source.hidden = {}
    assert verified.code(REGION) == "field_not_readable"
    assert len(verified.source.asked_fields) == 1

    verified.runner.run(verified.clock.sleep(61))

    assert verified.data(REGION)["accounts"]["totalCount"] > 0
    assert len(verified.source.asked_fields) == 2


def test_object_whose_key_the_source_keeps_back_is_denied(verified: VerifiedWorld) -> None:
    verified.source.hidden = {"accounts": frozenset({"id"})}
    response = verified.ask(LIST)
    assert response["data"] == {"accounts": {"totalCount": 0, "nodes": []}}
    assert response["extensions"]["access"][0]["effect"] == "denied"


def test_world_without_anybody_to_ask_shows_nothing_of_verified_objects(
    connectors: None, tmp_path: Path
) -> None:
    world = verified_world(tmp_path)
    try:
        world.source = Source(everything_shown())
        World.renew(world)
        response = world.ask(LIST)
        assert response["data"] == {"accounts": {"totalCount": 0, "nodes": []}}
        assert response["extensions"]["access"][0]["code"] == "verify_unavailable"
        assert world.source.asked == []
    finally:
        world.close()


def test_field_read_through_a_hidden_record_is_null(verified: VerifiedWorld) -> None:
    """And neither finds nor orders the record that it belongs to."""
    verified.source.shown = {**everything_shown(), ("crm", "users"): frozenset({"u1"})}
    verified.renew()
    nodes = verified.data("{ accounts { nodes { id ownerName } } }")["accounts"]["nodes"]
    named = [node["id"] for node in nodes if node["ownerName"] is not None]
    found = verified.data("{ accounts(where: {ownerName: {isNull: false}}) { nodes { id } } }")
    assert [node["id"] for node in found["accounts"]["nodes"]] == named
    crm = verified.data("{ crm { accounts { nodes { id owner_id } } } }")["crm"]["accounts"]
    assert set(named) <= {node["id"] for node in crm["nodes"] if node["owner_id"] == "u1"}


def _scrambled(shown: Shown, seed: int) -> Rows:
    """Return rows that differ in everything that the source does not show, and only there."""
    draw, rows = random.Random(seed), seeded()
    for place in EXPOSED:
        kinds = {each.name: each.type for each in CATALOGS[place[0]].by_name[place[1]].fields}
        kept = []
        for row in rows[place]:
            if row["id"] in shown[place]:
                kept.append(row)
            elif draw.random() < 0.7:  # others are gone altogether
                changed = {
                    name: _other(kinds[name], value, draw)
                    for name, value in row.items()
                    if name != "id"
                }
                kept.append({**row, **changed})
        model = rows[place][0]
        rows[place] = [*kept, *({**model, "id": f"zz{number}"} for number in range(5))]
    return rows


@PATIENCE
@pytest.mark.parametrize("seed", range(SEEDS))
def test_hidden_records_change_nothing_of_any_answer(
    connectors: None, tmp_path: Path, seed: int
) -> None:
    """Other values, other numbers of them: not one byte, extensions included."""
    world = verified_world(tmp_path)
    try:
        shown = world.source.shown = some_shown(seed + 20, 0.5)
        told = []
        for rows in (seeded(), _scrambled(shown, seed)):
            world.write({place: rows[place] for place in EXPOSED})
            world.renew()
            told.append([_settled(world.ask(text)) for text in NAMED])
        for text, before, after in zip(NAMED, *told, strict=True):
            assert orjson.dumps(before) == orjson.dumps(after), text
        world.source.shown = everything_shown()
        world.renew()
        assert [_settled(world.ask(text)) for text in NAMED] != told[0], "nothing was hidden"
    finally:
        world.close()


def test_old_mirror_that_cannot_be_verified_now_says_what_opens_it_again(
    verified: VerifiedWorld,
) -> None:
    verified.state_access(objects={"*": VERIFY, "Account": {"mode": "mirror", "max_age": "1h"}})
    verified.source.failure = DownError("down")
    (note,) = verified.ask(PAGE)["extensions"]["access"]
    assert note["code"] == "verify_unavailable"
    assert "run `firnline sync acme --connection crm`" in note["reason"]


def test_deferred_part_ranges_over_confirmed_records_alone(verified: VerifiedWorld) -> None:
    verified.source.shown = some_shown(9, 0.3)
    verified.renew()
    later = "deals(first: 9) { totalCount nodes { id account { id } } }"
    plain = verified.data(f"{{ {later} }}")["deals"]
    text = f"{{ accounts(first: 2) {{ totalCount }} ... @defer {{ {later} }} }}"

    async def parts() -> list[Any]:
        principal = Principal(tenant="acme", email="all@x.test")
        answer = await verified.responder.answer(principal, Question(text, takes_parts=True))
        assert answer.later is not None
        found = [orjson.loads(answer.body())]
        while (part := await answer.later.next()) is not None:
            found.append(part)
        await answer.later.close()
        return found

    verified.renew()  # nothing is known of the sources' word
    first, *rest = verified.runner.run(parts())
    assert "deals" not in first["data"]
    (delivered,) = [each["data"] for part in rest for each in part.get("incremental", ())]
    assert delivered["deals"] == plain
