"""`extensions.explain`: how an operation was answered, within what the person may know."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from tests.graph.world import World

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.explain.explanation import Detail, ExplainRefusedError, explained_to

NESTED = """{
  deals(where: {stage: {neq: "trash"}, or: [{amount: {gt: 1}}, {amount: {isNull: true}}]},
        orderBy: [{amount: DESC}], first: 5) {
    totalCount nodes { id amount account { name deals(first: 2) { nodes { title } } } } } }"""
FILTERED = """{ accounts(where: {deals: {aggregate: {sum: {quantity: {gt: 1}}}}}, first: 3) {
  nodes { id name } } }"""
PLAIN = (
    '{ deals(where: {stage: {eq: "new"}}, first: 4) { totalCount nodes { id account { id } } } }'
)


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


def explained(
    world: World, text: str, email: str = "all@x.test", detail: Detail = Detail.PERSON
) -> dict[str, Any]:
    """Return `extensions.explain` of an answer, and check that it is the answer one gets anyway."""
    question = Question(text, explain=detail)
    answer = world.runner.run(world.responder.answer(Principal("acme", email), question))
    body = orjson.loads(answer.body())
    told: dict[str, Any] = body["extensions"].pop("explain")
    plain = world.ask(text, email)
    plain["extensions"].pop("cache", None)
    assert body == plain
    return told


def levels(field: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a level and all below it."""
    return [field, *(inner for each in field.get("below", ()) for inner in levels(each))]


def test_levels_tell_what_each_asks_and_how_many_rows_it_gave(world: World) -> None:
    told = explained(world, NESTED)

    (root,) = told["fields"]
    deals, account, inner = levels(root)
    data = world.data(NESTED)["deals"]
    assert (deals["key"], deals["object"], deals["limit"]) == ("deals", "Deal", 5)
    assert deals["order"] == ["amount DESC"]
    assert deals["fields"] == ["id", "amount"]
    assert 'stage neq "trash"' in deals["filters"]
    assert '(amount gt "1") or (amount isNull true)' in deals["filters"]
    assert (account["relation"], account["object"]) == ("account", "Account")
    accounts = {orjson.dumps(each["account"]) for each in data["nodes"] if each["account"]}
    assert account["rows"] >= len(accounts) > 0
    assert inner["relation"] == "deals" and inner["limit"] == 2
    assert deals["tables"] == ["crm.deals"]


def test_plain_lists_are_said_to_come_from_memory_only_where_they_do(
    world: World, is_resident: bool
) -> None:
    told = explained(world, PLAIN)

    data = world.data(PLAIN)["deals"]
    root, account = levels(told["fields"][0])
    expected = ["memory"] if is_resident else ["duckdb"]
    assert told["answeredFrom"] == root["from"] == account["from"] == expected
    assert ("statements" in root) is not is_resident
    if is_resident:
        assert root["rows"] == len(data["nodes"])
        assert account["rows"] == sum(each["account"] is not None for each in data["nodes"])


def test_statements_of_duckdb_come_with_parameters_apart(world: World) -> None:
    told = explained(world, FILTERED)

    (root,) = told["fields"]
    (statement,) = root["statements"]
    assert root["from"] == ["duckdb"]
    assert statement["sql"].startswith("SELECT ")
    assert statement["sql"].count("?") == len(statement["parameters"])
    assert statement["rows"] == len(world.data(FILTERED)["accounts"]["nodes"]) + 1
    assert set(told["milliseconds"]) == {"guard", "access", "plan", "load", "total"}
    assert all(each >= 0 for each in told["milliseconds"].values())


@pytest.mark.parametrize("email", ["rep@x.test", "shared@x.test", "child@x.test", "match@x.test"])
@pytest.mark.parametrize("text", [NESTED, FILTERED, PLAIN])
def test_person_is_not_told_how_their_rows_are_filtered(
    world: World, email: str, text: str
) -> None:
    told = explained(world, text, email)

    statements = [
        each
        for field in told["fields"]
        for level in levels(field)
        for each in level.get("statements", ())
    ]
    for each in statements:
        # Tables and columns that only rights lean on, and the person's own groups.
        assert not re.search(r"shares|owner_id|\blevel\b|user_id", each["sql"])
        assert not {"u1", "u2", "u3", "u4"} & set(map(str, flat(each["parameters"])))
    text_of_all = orjson.dumps(told).decode()
    assert "crm.shares" not in text_of_all
    modes = {mode for each in told["access"] for mode in each["rows"].values()}
    assert "filtered" in modes


def test_operator_is_shown_the_statement_that_was_sent(world: World) -> None:
    told = explained(world, FILTERED, "shared@x.test", Detail.OPERATOR)
    answer = world.answer(FILTERED, "shared@x.test")

    sent = [sql for sql, _rows in answer.statements]
    (statement,) = told["fields"][0]["statements"]
    assert statement["sql"] in sent
    assert '"shares"' in statement["sql"]
    assert told["detail"] == "operator"


def test_withheld_fields_are_named_with_their_reason_and_never_in_sql(world: World) -> None:
    told = explained(world, "{ deals { nodes { id amount title } } }", "masked@x.test")

    (deal,) = [each for each in told["access"] if each["object"] == "Deal"]
    fields = {each["field"]: each for each in deal["fields"]}
    assert fields["amount"] == {
        "field": "amount", "readable": False, "reason": "finance only", "source": "crm",
    }  # fmt: skip
    assert fields["title"]["readable"]
    (root,) = told["fields"]
    assert root["fields"] == ["id", "title"]
    assert not any("amount" in each["sql"] for each in root.get("statements", ()))


def test_denied_object_is_explained_as_nothing(world: World) -> None:
    told = explained(world, "{ accounts { totalCount nodes { id } } }", "denied@x.test")

    (account,) = told["access"]
    assert (account["readable"], account["rows"]) == (False, {"crm.accounts": "none"})
    assert account["reason"] == "the profile gives no access to accounts"
    assert told["fields"][0]["rows"] == 0


def test_sources_tell_freshness_and_data_versions(world: World) -> None:
    told = explained(world, PLAIN)

    assert set(told["sources"]) == {"crm.accounts", "crm.deals"}
    versions = world.database().versions()
    assert told["sources"]["crm.deals"]["version"] == versions["crm", "deals"]


def test_objects_reached_by_filters_alone_are_among_the_decisions(world: World) -> None:
    told = explained(world, FILTERED)

    assert {each["object"] for each in told["access"]} >= {"Account", "Deal"}
    (deal,) = [each for each in told["access"] if each["object"] == "Deal"]
    assert "quantity" in {each["field"] for each in deal["fields"]}


def test_namespaces_entities_and_keys_are_explained_too(world: World) -> None:
    text = """{ crm { deals(first: 1) { nodes { id } } } deal(id: "d01") { title }
      _entities(representations: [{__typename: "Deal", id: "d02"}]) { ... on Deal { title } } }"""

    told = explained(world, text)

    assert [each["object"] for each in told["fields"]] == ["Crm_deals", "Deal", "Deal"]
    assert [each["rows"] for each in told["fields"]][1:] == [1, 1]


def test_long_lists_of_keys_are_counted_not_listed(world: World) -> None:
    told = explained(world, "{ accounts(first: 20) { nodes { id deals { aggregate { count avg "
                            "{ amount } } } } } }")  # fmt: skip

    (statement,) = levels(told["fields"][0])[1]["statements"]
    lists = [each for each in statement["parameters"] if isinstance(each, dict)]
    assert lists and lists[0]["count"] >= 20 and len(lists[0]["first"]) == 5


def flat(values: Any) -> list[Any]:
    """Return the scalars within parameters."""
    if isinstance(values, dict):
        return [inner for each in values.values() for inner in flat(each)]
    if isinstance(values, list):
        return [inner for each in values for inner in flat(each)]
    return [values]


@pytest.mark.parametrize(
    ("scopes", "is_open", "detail"),
    [
        ((), True, Detail.PERSON),
        (("explain",), False, Detail.PERSON),
        (("explain:operator",), False, Detail.OPERATOR),
        (("explain:operator",), True, Detail.OPERATOR),
        (("explain:everything", "read"), True, Detail.PERSON),
    ],
)
def test_scopes_and_the_tenant_decide_how_much_is_told(
    scopes: tuple[str, ...], is_open: bool, detail: Detail
) -> None:
    principal = Principal("acme", "a@x.test", scopes=frozenset(scopes))

    assert explained_to(principal, is_open=is_open) is detail


def test_without_scope_where_it_is_not_open_nothing_is_explained() -> None:
    with pytest.raises(ExplainRefusedError):
        explained_to(Principal("acme", "a@x.test", scopes=frozenset({"read"})), is_open=False)
