"""`_access` agrees with what the person is answered, and tells nothing that answers do not tell."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.graph.world import PEOPLE, World

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.explain.explanation import OPERATOR_SCOPE

TEXT = """query ($o: String!, $i: ID, $f: String) { _access(object: $o, id: $i, field: $f) {
  object readable decidedBy reason rows fields
  field { name readable masked decidedBy reason } record { id visible }
  explained { source user reason rows why readAt grounds { kind name }
    rules { depth rule why holds record because } } } }"""
TYPES = {"Account": "account", "Deal": "deal", "Ticket": "ticket"}


def own(world: World, email: str, type_name: str, **more: str) -> Any:
    return world.data(TEXT, email, variables={"o": type_name, **more})["_access"]


def schema_fields(world: World, email: str, type_name: str) -> list[str] | None:
    text = f'{{ __type(name: "{type_name}") {{ fields {{ name type {{ kind name }} }} }} }}'
    found = world.data(text, email)["__type"]
    return None if found is None else [each["name"] for each in found["fields"]]


@pytest.mark.parametrize("email", PEOPLE)
def test_rights_are_those_that_introspection_shows(world: World, email: str) -> None:
    graph = world.runner.run(world.graphs.graph("acme"))
    for name, found in graph.objects.items():
        shown = schema_fields(world, email, name)
        told = own(world, email, name)
        assert told["readable"] is (shown is not None)
        assert told["fields"] == [each for each in found.fields if each in (shown or ())]
        assert (told["reason"] is None) is told["readable"]
        for field in found.fields:
            assert own(world, email, name, f=field)["field"]["readable"] is (field in (shown or ()))


@pytest.mark.parametrize("email", PEOPLE)
@pytest.mark.parametrize("type_name", TYPES)
def test_record_is_told_where_it_is_answered(world: World, email: str, type_name: str) -> None:
    prefix = type_name[0].lower()
    for number in range(1, 12):
        key = f"{prefix}{number}" if prefix == "a" else f"{prefix}{number:02d}"
        query = f'{{ {TYPES[type_name]}(id: "{key}") {{ id }} }}'
        is_seen = world.data(query, email)[TYPES[type_name]] is not None
        assert (own(world, email, type_name, i=key)["record"] is not None) is is_seen


@pytest.mark.parametrize("email", PEOPLE)
def test_record_that_is_hidden_is_told_like_one_that_is_missing(world: World, email: str) -> None:
    def body(key: str) -> bytes:
        return world.answer(TEXT, email, {"o": "Account", "i": key}).body()

    missing = body("none")
    for number in range(1, 25):
        key = f"a{number}"
        if world.data(f'{{ account(id: "{key}") {{ id }} }}', email)["account"] is None:
            assert body(key) == missing


@pytest.mark.parametrize("email", PEOPLE)
def test_person_is_told_no_rule_reason_or_value_of_the_source(world: World, email: str) -> None:
    told = [own(world, email, name, i="a1", f="revenue") for name in ("Account", "Crm_accounts")]
    text = orjson.dumps(told).decode()
    assert all(each["explained"] is None for each in told)
    reasons = [each.reason for each in PEOPLE[email].values() if each.reason]
    reasons += [why for each in PEOPLE[email].values() for why in each.hidden.values()]
    for word in (*reasons, "owner_id is", "u1", "shares", "user_id"):
        assert word not in text


def test_operator_is_told_the_rules_and_by_which_values_they_hold(world: World) -> None:
    principal = Principal("acme", "shared@x.test", scopes=frozenset({OPERATOR_SCOPE}))

    def asked(key: str) -> Any:
        question = Question(TEXT, variables={"o": "Crm_accounts", "i": key})
        answer = world.runner.run(world.responder.answer(principal, question))
        assert not answer.errors
        return answer.data["_access"]

    told = [asked(f"a{number}") for number in range(1, 25)]
    seen = [each for each in told if each["record"] is not None]
    assert seen
    assert len(seen) < len(told)
    for each in told:
        alternatives = [rule for rule in each["explained"]["rules"] if rule["depth"] == 0]
        assert any(rule["holds"] for rule in alternatives) is (each["record"] is not None)
    held = [rule for each in seen for rule in each["explained"]["rules"] if rule["holds"]]
    values = {text for rule in held for text in rule["because"]}
    assert "shares.user_id is u3" in values
    assert "accounts.owner_id is empty" in values


@pytest.mark.parametrize("scopes", [{"explain"}, {"read"}, set()])
def test_other_scopes_make_nobody_an_operator(world: World, scopes: set[str]) -> None:
    principal = Principal("acme", "all@x.test", scopes=frozenset(scopes))
    question = Question(TEXT, variables={"o": "Account"})
    answer = world.runner.run(world.responder.answer(principal, question))
    assert answer.data["_access"]["explained"] is None


def test_what_does_not_exist_is_null(world: World) -> None:
    assert own(world, "all@x.test", "Nope") is None
    assert own(world, "all@x.test", "Account", f="nope")["field"] is None


def test_scope_that_leaves_an_object_out_is_told_as_such(world: World) -> None:
    principal = Principal("acme", "all@x.test", scopes=frozenset({"read:Deal"}))
    question = Question(TEXT, variables={"o": "Account", "i": "a1"})
    told = world.runner.run(world.responder.answer(principal, question)).data["_access"]
    assert (told["readable"], told["decidedBy"], told["record"]) == (False, "scope", None)
