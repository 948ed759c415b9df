"""Verbs, limits of purpose and presets: what is refused, to whom, and what writes set."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.graph.policies import asked, person, with_policy
from tests.graph.world import ACCOUNTS, CATALOGS, NOW, World

from firnline.access.principal import Principal
from firnline.access.reach import OperationNotAllowedError
from firnline.graph.answer import Answer, Question
from firnline.graph.policy.verdicts import Verdicts
from firnline.graph.session import LazySnapshot, Session
from firnline.spec.verbs import FIELD_VERBS, VERBS

POLICY: dict[str, Any] = {
    "objects": {
        "Account": {
            "mode": "mirror",
            "verbs": {
                "read": None,
                "filter": None,
                "aggregate": {"purposes": ["forecast"], "people": True},
                "create": None,
                "update": {"agents": [], "people": True},
            },
            "fields": {
                "rating": {"verbs": ["read", "filter", "update"]},
                "region": {"verbs": ["read"]},
                "revenue": {"only_for": {"purposes": ["forecast"], "people": False}},
                "legacyNo": {"verbs": {"read": {"agents": [], "people": True}}},
                "name": {"verbs": ["create", "update"]},
            },
            "presets": {
                "create": {"region": "north", "foundedOn": "today"},
                "update": {"legacyNo": {"principal": "attributes.batch"}},
            },
        },
        "Deal": {"mode": "mirror", "verbs": ["read"]},
        "Ticket": {"mode": "mirror", "verbs": ["create"]},
    }
}
HELPER = {"agent": "helper"}


def writable(world: World) -> None:
    """Have the source take every field of accounts."""
    fields = tuple(
        each.model_copy(update={"createable": True, "updateable": True}) for each in ACCOUNTS.fields
    )
    catalog = CATALOGS["crm"]
    objects = tuple(
        each.model_copy(update={"fields": fields}) if each.name == "accounts" else each
        for each in catalog.objects
    )
    world.discovered("acme", "crm", catalog.model_copy(update={"objects": objects}))


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def limited(
    request: pytest.FixtureRequest, connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Give a world in which verbs are limited."""
    home = tmp_path_factory.mktemp("limited")
    world = with_policy(home, POLICY, is_resident=bool(request.param))
    writable(world)
    yield world
    world.close()


@pytest.mark.parametrize("again", range(2))
@pytest.mark.parametrize(
    ("text", "coordinate", "verb"),
    [
        ('{ accounts(where: {region: {eq: "north"}}) { nodes { id } } }', "Account.region", "f"),
        ("{ accounts(orderBy: [{region: ASC}]) { nodes { id } } }", "Account.region", "f"),
        ("{ accounts(distinctOn: [{region: VALUE}]) { nodes { id } } }", "Account.region", "f"),
        ("{ accounts { groupBy(by: [{region: VALUE}]) { key { region } } } }",
         "Account.region", "f"),
        ("{ accounts { aggregate { max { rating } } } }", "Account.rating", "a"),
        ("{ accounts { groupBy(by: [{rating: VALUE}]) { aggregate { max { rating } } } } }",
         "Account.rating", "a"),
        ("{ accounts(where: {children: {aggregate: {max: {rating: {gt: 1}}}}}) { nodes { id } } }",
         "Account.rating", "a"),
        ("{ deals { totalCount } }", "Deal", "a"),
        ("{ deals { aggregate { count } } }", "Deal", "a"),
        ("{ deals { groupBy(by: [{stage: VALUE}]) { aggregate { count } } } }", "Deal", "a"),
        ("{ accounts(first: 1) { nodes { deals { totalCount } } } }", "Deal", "a"),
        ('{ deals(where: {stage: {eq: "won"}}) { nodes { id } } }', "Deal.stage", "f"),
        ("{ deals(orderBy: [{amount: ASC}]) { nodes { id } } }", "Deal.amount", "f"),
        ("{ accounts(where: {deals: {some: {}}}) { nodes { id } } }", "Deal.accountId", "f"),
    ],
)  # fmt: skip
def test_verb_that_the_policy_refuses_is_an_error_that_says_so(
    limited: World, text: str, coordinate: str, verb: str, again: int
) -> None:
    response = asked(limited, text, person())

    (error,) = response["errors"]
    assert error["extensions"]["code"] == "verb_not_allowed"
    word = {"f": "filter", "a": "aggregate"}[verb]
    assert error["message"] == f"you may not {word} {coordinate}"


@pytest.mark.parametrize("again", range(3))
def test_what_is_not_refused_is_answered(limited: World, again: int) -> None:
    response = asked(
        limited,
        """{ accounts(where: {rating: {gte: 1}}, orderBy: [{rating: DESC}], first: 3)
             { totalCount nodes { id rating region legacyNo deals(first: 2) { nodes { id stage } } }
               groupBy(by: [{rating: VALUE}]) { aggregate { count } } } }""",
        person(),
    )
    assert "errors" not in response
    assert response["data"]["accounts"]["totalCount"] > 3
    assert any(each["region"] for each in response["data"]["accounts"]["nodes"])


@pytest.mark.parametrize("again", range(3))
@pytest.mark.parametrize(
    ("facts", "withheld"),
    [
        ({}, {"Account.name", "Account.revenue"}),
        ({**HELPER, "purpose": "forecast"}, {"Account.name", "Account.legacyNo"}),
        ({**HELPER, "purpose": "support"}, {"Account.name", "Account.legacyNo", "Account.revenue"}),
    ],
)
def test_fields_are_shown_for_their_purposes_only(
    limited: World, facts: dict[str, str], withheld: set[str], again: int
) -> None:
    text = "{ accounts(first: 50) { nodes { name revenue legacyNo rating } } }"
    response = asked(limited, text, person(**facts))

    notes = response["extensions"]["access"]
    assert {note["coordinate"] for note in notes} == withheld
    for name in ("name", "revenue", "legacyNo", "rating"):
        values = {node[name] for node in response["data"]["accounts"]["nodes"]}
        assert (values == {None}) == (f"Account.{name}" in withheld)
    for coordinate in withheld:
        name = coordinate.partition(".")[2]
        code = asked(
            limited,
            f"{{ accounts(where: {{{name}: {{isNull: true}}}}) {{ nodes {{ id }} }} }}",
            person(**facts),
        )["errors"][0]["extensions"]["code"]
        assert code == "field_not_readable"


@pytest.mark.parametrize(("purpose", "may"), [("forecast", True), ("support", False)])
def test_verb_is_allowed_for_its_purposes_only(limited: World, purpose: str, may: bool) -> None:
    who = person(agent="helper", purpose=purpose)
    response = asked(limited, "{ accounts { totalCount } }", who)
    assert ("errors" not in response) == may


def test_field_that_may_not_be_filtered_is_not_searched(limited: World) -> None:
    text = '{ accounts(search: "north", first: 100) { nodes { id region } } }'
    response = asked(limited, text, person())
    assert response["data"]["accounts"]["nodes"] == []
    assert "Account.region" in {note["coordinate"] for note in response["extensions"]["access"]}


def test_object_that_may_only_be_written_shows_nothing(limited: World) -> None:
    response = asked(limited, "{ tickets { totalCount nodes { id } } }", person())
    assert response["data"]["tickets"] == {"totalCount": 0, "nodes": []}
    (note,) = response["extensions"]["access"]
    assert (note["coordinate"], note["effect"], note["source"]) == ("Ticket", "denied", "policy")


def test_introspection_shows_the_fields_for_the_purpose_only(limited: World) -> None:
    text = '{ __type(name: "Account") { fields { name } } }'
    for purpose in ("forecast", "support"):
        found = asked(limited, text, person(agent="helper", purpose=purpose))["data"]["__type"]
        names = {each["name"] for each in found["fields"]}
        assert ("revenue" in names) == (purpose == "forecast")
        assert "rating" in names


def verdicts(world: World, principal: Principal, type_name: str = "Account") -> Verdicts:
    """Return what a principal may do with an object."""

    async def find() -> Verdicts:
        graphs = world.responder._graphs
        graph = await graphs.graph("acme")

        def look(snapshot: LazySnapshot) -> Verdicts:
            decisions = graphs.decisions(graph, principal, snapshot)
            return Verdicts.of(graph, graph.objects[type_name], decisions, now=NOW)

        async with Session(await world._database("acme")) as session:
            found: Verdicts = await session.run(look)
            return found

    return world.runner.run(find())


def test_write_may_set_what_the_source_takes_and_nothing_is_preset_or_refused(
    limited: World,
) -> None:
    found = verdicts(limited, person(attributes={"batch": "b-7"}))

    create, update, delete = (found.write(verb) for verb in ("create", "update", "delete"))
    assert create.refused == ""
    assert dict(create.presets) == {"region": "north", "foundedOn": "today"}
    assert {"name", "isActive"} <= create.fields
    assert not create.fields & {"region", "foundedOn", "rating", "legacyNo", "revenue", "isKey"}
    assert dict(update.presets) == {"legacyNo": "b-7"}
    assert {"name", "rating"} <= update.fields
    assert not update.fields & {"legacyNo", "region"}
    assert delete.refused
    assert not delete.fields


def test_write_without_the_fact_that_it_sets_is_refused(limited: World) -> None:
    found = verdicts(limited, person())
    assert found.of_object("create") == ""
    assert "the token does not hold" in found.of_object("update")


@pytest.mark.parametrize("scopes", [frozenset({"read"}), frozenset({"read:Deal", "write"})])
def test_scopes_narrow_what_may_be_written(limited: World, scopes: frozenset[str]) -> None:
    found = verdicts(limited, person(scopes=scopes, attributes={"batch": "b"}))
    assert found.of_object("create")
    assert found.of_object("update")


def test_whom_the_source_does_not_know_writes_nothing(limited: World) -> None:
    found = verdicts(limited, person("stranger@x.test", attributes={"batch": "b"}))
    assert all(found.of_object(verb) for verb in VERBS)
    assert all(found.of_field("rating", verb) for verb in FIELD_VERBS)


def test_nothing_is_written_where_no_policy_names_verbs(limited: World) -> None:
    found = verdicts(limited, person(), "Crm_users")
    assert [verb for verb in VERBS if not found.of_object(verb)] == ["read", "filter", "aggregate"]


RULED = {
    "*": {"only_for": {"agents": [], "people": True}},
    "Ranked": {"only_for": {"agents": ["helper"], "purposes": ["forecast"], "people": True}},
    "Listed": {"only_for": {"agents": ["helper"]}},
}
TEXTS = {name: f"query {name} {{ accounts {{ nodes {{ id }} }} }}" for name in ("Ranked", "Listed")}


@pytest.mark.parametrize(
    ("facts", "allowed"),
    [
        ({}, {"Ranked", "text", "Other"}),
        ({"agent": "helper", "purpose": "forecast"}, {"Ranked", "Listed"}),
        ({"agent": "helper"}, {"Listed"}),
        ({"agent": "other", "purpose": "forecast"}, set()),
    ],
)
def test_operations_run_for_whom_the_policy_names(
    connectors: None, tmp_path: Path, facts: dict[str, str], allowed: set[str]
) -> None:
    world = with_policy(tmp_path, {"operations": RULED})
    texts = {**TEXTS, "Other": "query Other { accounts { nodes { id } } }"}
    ids = {name: world.publish(text) for name, text in texts.items()}
    found = set()
    for name, operation_id in ids.items():
        question = Question(None, document_id=operation_id)
        with suppress(OperationNotAllowedError):
            world.runner.run(world.responder.answer(person(**facts), question))
            found.add(name)
    with suppress(OperationNotAllowedError):
        asked(world, "{ accounts { nodes { id } } }", person(**facts))
        found.add("text")
    world.close()
    assert found == allowed


@pytest.mark.parametrize("is_resident", [False, True], ids=["duckdb", "resident"])
def test_objects_and_fields_are_touched_by_their_operations_only(
    connectors: None, tmp_path: Path, is_resident: bool
) -> None:
    """The same text, published or not, by the same person at the same time: never mixed up."""
    deal = {"mode": "mirror", "only_for": {"operations": ["Pipeline"], "people": True}}
    rules = {"revenue": {"only_for": {"operations": ["Pipeline"], "people": True}}}
    account = {"mode": "mirror", "fields": rules}
    world = with_policy(
        tmp_path, {"objects": {"Deal": deal, "Account": account}}, is_resident=is_resident
    )
    body = "{ deals(first: 3) { nodes { id } } accounts(first: 9) { nodes { revenue } } }"
    texts = {name: f"query {name} {body}" for name in ("Pipeline", "Other")}
    ids = {name: world.publish(text) for name, text in texts.items()}

    def shown(answer: Answer) -> tuple[int, bool]:
        data = orjson.loads(answer.body())["data"]
        nodes = data["accounts"]["nodes"]
        return len(data["deals"]["nodes"]), any(each["revenue"] for each in nodes)

    async def together() -> list[Answer]:
        questions = [
            Question(document_id=ids["Pipeline"]),
            Question(texts["Pipeline"]),
            Question(document_id=ids["Other"]),
        ]
        return await asyncio.gather(
            *(world.responder.answer(person(), question) for question in questions)
        )

    for _ in range(3):
        found = [shown(each) for each in world.runner.run(together())]
        assert found == [(3, True), (0, False), (0, False)]
    world.close()
