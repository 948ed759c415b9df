"""An agent reaches less than its person, in every way of asking and from every cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.graph.world import PROJECT, World, seeded

from firnline.access.principal import Principal
from firnline.access.reach import AgentRefusedError, OperationNotAllowedError, PurposeRefusedError
from firnline.errors import FirnlineError
from firnline.graph.answer import Question
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.respond import Responder

WHO = "all@x.test"
ACCOUNTS = "{ accounts(first: 3) { totalCount nodes { id deals { totalCount } } } }"


@pytest.fixture(params=[False, True], ids=["duckdb", "memory"])
def reaching(
    connectors: None, tmp_path: Path, request: pytest.FixtureRequest, declared: str
) -> Any:
    """A world with data whose project declares `declared`; answers are kept, too."""
    project = tmp_path / "project"
    (project / "tenants").mkdir(parents=True)
    for path in ("firnline.yaml", "tenants/acme.yaml"):
        (project / path).write_text((PROJECT / path).read_text() + "\n")
    with (project / "firnline.yaml").open("a") as file:
        file.write(declared)
    world = World.open(tmp_path / "home", project)
    world.responder = Responder(
        world.graphs,
        databases=world._database,
        operations=world.state,
        seal=CursorSeal(b"k" * 32),
        clock=world.clock,
        resident=ResidentTables(1 << 28) if request.param else None,
        kept_bytes=1 << 22,
    )
    world.fill(seeded())
    yield world
    world.close()


@pytest.fixture
def declared() -> str:
    return ""


def ask(world: World, query: str, *, published: tuple[str, ...] = (), **who: Any) -> Any:
    principal = Principal("acme", WHO, **who)
    answer = world.runner.run(
        world.responder.answer(principal, Question(query, published=published))
    )
    return orjson.loads(answer.body())


def refused(world: World, error: type[FirnlineError], query: str = ACCOUNTS, **who: Any) -> None:
    with pytest.raises(error) as caught:
        ask(world, query, **who)
    assert caught.value.hint


def scoped(*words: str, agent: str = "") -> dict[str, Any]:
    return {"scopes": frozenset(words), "agent": agent}


def count(response: Any) -> int:
    return int(response["data"]["accounts"]["totalCount"])


def test_agents_of_one_person_never_get_each_others_answers(reaching: World) -> None:
    """The same person, the same question, asked in turns: every cache must tell them apart."""
    asked = {
        "own": {},
        "narrow": scoped("read:Deal"),
        "wide": scoped("read"),
        "agent": scoped("read:Deal", agent="bot"),
        "other": {"attributes": {"region": "EMEA"}, "name": "Ana"},
    }
    for _ in range(3):
        counts = {name: count(ask(reaching, ACCOUNTS, **who)) for name, who in asked.items()}
        assert counts["own"] == counts["wide"] == counts["other"] > 0
        assert counts["narrow"] == counts["agent"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "{ deals { nodes { id account { id name } } } }",
        "{ deals { nodes { id account { __typename id } } } accounts { nodes { id } } }",
        '{ account(id: "a1") { id } accountsByKey(keys: ["a1"]) { id } }',
        "{ accounts { aggregate { count } } }",
        '{ accounts(search: "alp") { totalCount } }',
        "{ crm { accounts { totalCount nodes { id } } } }",
        '{ _entities(representations: [{__typename: "Account", id: "a1"}]) '
        "{ ... on Account { id name } } }",
    ],
)
def test_object_outside_of_the_scope_gives_nothing_anywhere(reaching: World, query: str) -> None:
    for _ in range(2):
        response = ask(reaching, query, **scoped("read:Deal"))
        assert "errors" not in response, response
        assert not held(response["data"]), response["data"]
        notes = {note["coordinate"]: note for note in response["extensions"]["access"]}
        denied = [note for name, note in notes.items() if "ccount" in name]
        assert denied, notes
        assert {note["source"] for note in denied} == {"scope"}


def held(data: Any) -> list[Any]:
    """Return what an answer tells of accounts: ids, names and counts other than none."""
    if isinstance(data, list):
        return [each for one in data for each in held(one)]
    if not isinstance(data, dict):
        return []
    found: list[Any] = []
    for key, value in data.items():
        if key == "account" and value is not None:
            found += [each for each in value.values() if each is not None]
        elif key in ("accounts", "account_by_key", "accountsByKey", "_entities"):
            found += leaves(value)
        else:
            found += held(value)
    return found


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for one in value.values() for each in leaves(one)]
    if isinstance(value, list):
        return [each for one in value for each in leaves(one)]
    return [value] if value not in (None, 0) else []


def test_denied_object_cannot_filter_other_records(reaching: World) -> None:
    query = '{ deals(where: {account: {region: {eq: "north"}}}) { totalCount } }'
    (error,) = ask(reaching, query, **scoped("read:Deal"))["errors"]
    assert error["extensions"]["code"] == "object_not_readable"


def test_introspection_shows_what_the_scope_names(reaching: World) -> None:
    query = '{ __schema { types { name } } _search(text: "account") { coordinate type } }'
    for who, is_shown in ((scoped("read:Deal"), False), ({}, True), (scoped("read:Deal"), False)):
        response = ask(reaching, query, **who)
        types = {each["name"] for each in response["data"]["__schema"]["types"]}
        assert ("Account" in types) is is_shown
        assert "Deal" in types
        hits = [hit for hit in response["data"]["_search"] if hit["type"].startswith("Account")]
        assert bool(hits) is is_shown


def test_provider_types_are_in_scope_by_their_own_name_or_beginning(reaching: World) -> None:
    query = "{ accounts { totalCount } crm { accounts { totalCount } deals { totalCount } } }"
    data = ask(reaching, query, **scoped("read:Crm_*"))["data"]
    assert data["accounts"]["totalCount"] == 0
    assert data["crm"]["accounts"]["totalCount"] > 0
    data = ask(reaching, query, **scoped("read:Crm_deals"))["data"]
    assert data["crm"]["accounts"]["totalCount"] == 0
    assert data["crm"]["deals"]["totalCount"] > 0


def test_words_for_others_narrow_an_agent_to_nothing_and_a_person_not(reaching: World) -> None:
    assert count(ask(reaching, ACCOUNTS, **scoped("openid", "profile"))) > 0
    assert count(ask(reaching, ACCOUNTS, **scoped("openid", agent="bot"))) == 0
    assert count(ask(reaching, ACCOUNTS, agent="bot")) > 0


def test_scope_of_operations_runs_published_ones_alone(reaching: World) -> None:
    text = "query Pipeline { accounts { totalCount } }"
    refused(reaching, OperationNotAllowedError, text, **scoped("read", "operations"))
    named = {"published": ("Pipeline", "sha256:1")}
    assert count(ask(reaching, text, **named, **scoped("read", "operations"))) > 0
    assert count(ask(reaching, text, **named, **scoped("read", "operation:Pipeline"))) > 0
    assert count(ask(reaching, text, **named, **scoped("read", "operation:sha256:1"))) > 0
    who = scoped("read", "operation:Other")
    refused(reaching, OperationNotAllowedError, text, **named, **who)


def test_published_id_is_held_against_the_list(reaching: World) -> None:
    operation_id = reaching.publish("query Pipeline { accounts { totalCount } }")
    asked = Question(document_id=operation_id)
    allowed = Principal("acme", WHO, **scoped("operation:Pipeline"))
    answer = reaching.runner.run(reaching.responder.answer(allowed, asked))
    assert answer.data["accounts"]["totalCount"] > 0
    with pytest.raises(OperationNotAllowedError):
        other = Principal("acme", WHO, **scoped("operation:Other"))
        reaching.runner.run(reaching.responder.answer(other, asked))


class TestDeclaredAgents:
    @pytest.fixture
    def declared(self) -> str:
        return (
            "agents:\n  renewals: {objects: [Account], purposes: [renewal], readOnly: true}\n"
            "  fixed: {operations: [Pipeline]}\n  free: {}\n"
        )

    def test_undeclared_agent_is_refused_and_the_person_is_not(self, reaching: World) -> None:
        refused(reaching, AgentRefusedError, agent="stranger")
        assert count(ask(reaching, ACCOUNTS, agent="free")) > 0
        assert count(ask(reaching, ACCOUNTS)) > 0
        principal = Principal("acme", WHO, agent="stranger")
        with pytest.raises(AgentRefusedError):
            reaching.runner.run(reaching.responder.visible_schema(principal))

    def test_purpose_must_be_one_of_the_agents(self, reaching: World) -> None:
        refused(reaching, PurposeRefusedError, agent="renewals")
        refused(reaching, PurposeRefusedError, agent="renewals", purpose="spam")
        assert count(ask(reaching, ACCOUNTS, agent="renewals", purpose="renewal")) > 0

    def test_objects_outside_of_the_agents_are_denied(self, reaching: World) -> None:
        who = {"agent": "renewals", "purpose": "renewal"}
        response = ask(reaching, "{ deals { totalCount } accounts { totalCount } }", **who)
        assert response["data"]["deals"]["totalCount"] == 0
        (note,) = response["extensions"]["access"]
        assert (note["coordinate"], note["source"]) == ("Deal", "agents")
        assert "renewals" in note["reason"]

    def test_scope_and_agent_narrow_together(self, reaching: World) -> None:
        who = {"agent": "renewals", "purpose": "renewal", "scopes": frozenset({"read:Deal"})}
        response = ask(reaching, "{ deals { totalCount } accounts { totalCount } }", **who)
        assert [each["totalCount"] for each in response["data"].values()] == [0, 0]

    def test_operations_of_an_agent_are_a_list(self, reaching: World) -> None:
        refused(reaching, OperationNotAllowedError, agent="fixed")
        response = ask(reaching, ACCOUNTS, agent="fixed", published=("Pipeline",))
        assert count(response) > 0

    def test_read_only_is_carried_for_writes(self, reaching: World) -> None:
        def is_read_only(**who: Any) -> bool:
            return reaching.graphs.reach(Principal("acme", WHO, **who)).is_read_only

        assert is_read_only(agent="renewals", purpose="renewal")
        assert is_read_only(**scoped("read"))
        assert not is_read_only(**scoped("read", "write"))
        assert not is_read_only()
