"""Every refusal has a code and a next step, and shows nothing of the inside."""

from __future__ import annotations

import time
from typing import Any

import pytest
from graphql import get_introspection_query
from tests.graph.world import World

from firnline.errors import FirnlineError

WRONG = {
    "unknown field": "{ accounts { nodes { nothing } } }",
    "unknown root field": "{ nothing }",
    "unknown argument": "{ accounts(limit: 3) { totalCount } }",
    "unknown operator": '{ accounts(where: {name: {soundsLike: "x"}}) { totalCount } }',
    "wrong operand": '{ accounts(where: {rating: {eq: "x"}}) { totalCount } }',
    "wrong date": '{ accounts(where: {foundedOn: {lt: "yesterday"}}) { totalCount } }',
    "wrong time": '{ accounts(where: {createdAt: {lt: "12 o\'clock"}}) { totalCount } }',
    "wrong time of day": '{ crm { accounts(where: {opens: {lt: "25:00"}}) { totalCount } } }',
    "number as time of day": '{ crm { accounts(where: {opens: {lt: "5"}}) { totalCount } } }',
    "huge decimal": '{ accounts(where: {revenue: {lt: "1e29"}}) { totalCount } }',
    "tiny decimal": '{ accounts(where: {revenue: {lt: "1e-999999999"}}) { totalCount } }',
    "not a number": '{ accounts(where: {revenue: {lt: "NaN"}}) { totalCount } }',
    "huge long": '{ deals(where: {big: {lt: "9223372036854775808"}}) { totalCount } }',
    "far relative date": '{ accounts(where: {foundedOn: {lt: "now-99999y"}}) { totalCount } }',
    "date before all dates": '{ accounts(where: {createdAt: {gt: "0001-01-01T00:00:00+05:00"}})'
    " { totalCount } }",
    "null operand": "{ accounts(where: {name: {eq: null}}) { totalCount } }",
    "null condition": "{ accounts(where: {name: null}) { totalCount } }",
    "null quantifier": "{ accounts(where: {deals: {some: null}}) { totalCount } }",
    "null aggregate": "{ accounts(where: {deals: {aggregate: {sum: {amount: null}}}})"
    " { totalCount } }",
    "unknown word": '{ accounts(where: {segment: {eq: "tiny"}}) { totalCount } }',
    "two fields in one order": "{ accounts(orderBy: [{name: ASC, id: ASC}]) { totalCount } }",
    "no field in an order": "{ accounts(orderBy: [{}]) { totalCount } }",
    "no selection": "{ accounts }",
    "missing key": "{ account { id } }",
    "missing variable": "query ($id: ID!) { account(id: $id) { id } }",
    "mutation": "mutation { accounts { totalCount } }",
    "subscription to two fields": "subscription { accounts { totalCount } deals { totalCount } }",
    "several operations": "query A { __typename } query B { __typename }",
    "no operation": "fragment F on Account { id }",
    "unknown fragment": "{ accounts { ...F } }",
    "unknown directive": "{ accounts @cached { totalCount } }",
    "unknown type": "{ accounts { nodes { ... on Invoice { id } } } }",
}
INSIDE = ("Traceback", "firnline.", "duckdb", "SELECT", "t0", "GraphQL", "strawberry", '"c_crm"')


def refused(world: World, text: str, **more: Any) -> list[dict[str, Any]]:
    """Return the errors, whether the question could be asked or not."""
    try:
        return list(world.ask(text, **more)["errors"])
    except FirnlineError as error:
        facts = error.as_dict()
        return [{"message": facts.pop("message"), "extensions": facts}]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_question_is_refused_with_code_and_hint(world: World, name: str) -> None:
    errors = refused(world, WRONG[name])

    assert 1 <= len(errors) <= 10
    for error in errors:
        assert error["extensions"]["code"] not in ("internal", "cache_failed")
        assert error["extensions"]["hint"]
        assert not any(word in str(error) for word in INSIDE), error


def test_operation_is_chosen_by_name_among_several(world: World) -> None:
    text = "query A { a: __typename } query B { b: __typename }"
    assert world.data(text, operation_name="B") == {"b": "Query"}
    (error,) = refused(world, text, operation_name="C")
    assert error["extensions"]["code"] == "operation_name"


@pytest.mark.parametrize(
    "variables",
    [{}, {"id": None}, {"id": {}}, {"id": ["a1"]}, {"id": 1.5}, {"id": True}],
    ids=repr,
)
def test_variable_of_another_type_is_refused(world: World, variables: dict[str, Any]) -> None:
    text = "query ($id: ID!) { account(id: $id) { id } }"
    (error,) = refused(world, text, variables=variables)
    assert error["extensions"]["code"] == "operation_refused"
    assert "executed" not in error


def test_refused_document_has_no_data_and_an_executed_one_has(world: World) -> None:
    assert "data" not in world.ask("{ nothing }")
    assert "data" not in world.ask("query ($id: ID!) { account(id: $id) { id } }")
    assert world.ask("{ accounts(first: 201) { totalCount } }")["data"] is None


def test_errors_of_one_answer_are_few(world: World) -> None:
    fields = " ".join(f"nothing{n}" for n in range(18))
    assert len(world.ask(f"{{ {fields} }}")["errors"]) == 10


def test_full_introspection_answers_once_per_shape_and_quickly(world: World) -> None:
    text = get_introspection_query(specified_by_url=True, input_value_deprecation=True)
    world.data(text)

    start = time.perf_counter()
    schema = world.data(text)["__schema"]
    introspecting = time.perf_counter() - start

    names = {each["name"] for each in schema["types"]}
    assert {"Account", "AccountWhere", "Crm_accounts", "DealListWhere", "PageInfo"} <= names
    assert schema["mutationType"] is None
    start = time.perf_counter()
    world.data("{ accounts(first: 200) { nodes { id name deals { nodes { id } } } } }")
    assert introspecting < 100 * (time.perf_counter() - start)


def test_permission_records_are_no_part_of_the_schema(world: World) -> None:
    for name in ("grants", "shares", "grants_by_key"):
        (error,) = refused(world, f"{{ crm {{ {name} {{ totalCount }} }} }}")
        assert error["extensions"]["code"] == "operation_refused"
    assert world.data('{ __type(name: "Crm_grants") { name } }') == {"__type": None}


def test_question_without_a_document_is_refused(world: World) -> None:
    with pytest.raises(FirnlineError) as caught:
        world.answer(None)
    assert caught.value.hint
    with pytest.raises(FirnlineError) as caught:
        world.answer(None, document_id="sha256:0")
    assert caught.value.code == "unknown_operation"


def test_published_operation_answers_under_its_id_for_its_tenant_only(world: World) -> None:
    identity = world.publish("query Accounts { accounts(first: 1) { totalCount } }")
    found = world.answer(None, document_id=identity)
    assert found.data == {"accounts": {"totalCount": 24}}
    with pytest.raises(FirnlineError):
        world.answer(None, document_id=identity, tenant="beta")


@pytest.mark.parametrize(
    "text",
    [
        "{ accounts { totalCount } }",
        "query A { nothing }",
        "query A { a: __typename } query B { b }",
    ],
)
def test_document_that_cannot_run_is_not_published(world: World, text: str) -> None:
    with pytest.raises(FirnlineError) as caught:
        world.publish(text)
    assert caught.value.code == "operation_invalid"
