"""Masks and hidden fields of the builder's policy: shown in part, or as if they did not exist."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from tests.graph.policies import asked, person, with_policy
from tests.graph.world import World, seeded

from firnline.graph.memory.kept_answers import KeptAnswers

MASKS: dict[str, Any] = {
    "name": "hash",
    "segment": None,
    "region": "last4",
    "createdAt": "year",
    "foundedOn": "year",
    "contactName": {"redact": "[aeiou]"},
    "revenue": None,
}
POLICY = {
    "objects": {
        "Account": {"mode": "mirror", "mask": MASKS},
        "Deal": {"mode": "mirror", "hide": ["secret", "accountRegion"]},
        "Ticket": {"mode": "mirror", "hide": ["accountNo"]},
    },
    "providers": {
        "alpine": {
            "*": {"mode": "mirror"},
            "deals": {"mode": "mirror", "hide": ["secret", "account_id"]},
            "accounts": {"mode": "mirror", "mask": {"region": "hash", "revenue": "last4"}},
        }
    },
}


def key_of(tenant: str) -> bytes:
    return hashlib.sha256(tenant.encode()).digest()


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def masked(
    request: pytest.FixtureRequest, connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Give a world with masks."""
    world = with_policy(tmp_path_factory.mktemp("masked"), POLICY, is_resident=bool(request.param))
    world.responder._recall._kept = KeptAnswers(1 << 22)
    world.responder._mask_key = key_of
    yield world
    world.close()


def hashed(tenant: str, text: str | None) -> str | None:
    if text is None:
        return None
    return hmac.new(key_of(tenant), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("again", range(3))  # planned, compiled, kept
@pytest.mark.parametrize("tenant", ["acme", "beta"])
def test_masked_fields_show_their_part_and_say_so(masked: World, tenant: str, again: int) -> None:
    response = asked(
        masked,
        """{ accounts(first: 200) { nodes
             { id name segment region createdAt foundedOn contactName revenue rating } } }""",
        person(tenant=tenant),
    )

    rows = {row["id"]: row for row in seeded()["crm", "accounts"]}
    users = {row["id"]: row["name"] for row in seeded()["crm", "users"]}
    nodes = response["data"]["accounts"]["nodes"]
    assert len(nodes) == len(rows)
    for node in nodes:
        row = rows[node["id"]]
        assert node["rating"] == row["rating"]
        assert node["name"] == hashed(tenant, row["name"])
        assert node["segment"] is None
        assert node["revenue"] is None
        assert node["region"] == (row["region"] and f"****{row['region'][-2:]}")
        made = row["created"]
        assert node["createdAt"] == (made and f"{made.year}-01-01T00:00:00.000Z")
        assert node["foundedOn"] == (row["founded"] and f"{row['founded'].year}-01-01")
        contact = row["nickname"] if row["nickname"] is not None else users.get(row["owner_id"])
        shown = contact and "".join("***" if each in "aeiou" else each for each in contact)
        assert node["contactName"] == shown
    notes = {n["coordinate"]: n for n in response["extensions"]["access"]}
    assert set(notes) == {f"Account.{name}" for name in MASKS}
    assert {n["effect"] for n in notes.values()} == {"masked"}
    assert {n["source"] for n in notes.values()} == {"policy"}


def test_hashes_of_two_tenants_cannot_be_compared(masked: World) -> None:
    text = "{ accounts(first: 200) { nodes { name } } }"
    found = [
        {each["name"] for each in answer["data"]["accounts"]["nodes"]}
        for answer in (asked(masked, text, person(tenant=name)) for name in ("acme", "beta"))
    ]
    assert found[0] & found[1] <= {None}


@pytest.mark.parametrize(
    "using",
    [
        'accounts(where: {name: {eq: "Alp"}}) { totalCount }',
        "accounts(where: {name: {isNull: true}}) { totalCount }",
        "accounts(where: {not: {or: [{revenue: {isNull: true}}]}}) { totalCount }",
        "accounts(orderBy: [{name: ASC}]) { totalCount }",
        "accounts(distinctOn: [{region: VALUE}]) { totalCount }",
        "accounts { groupBy(by: [{region: VALUE}]) { key { region } } }",
        "accounts { groupBy(by: [{createdAt: YEAR}]) { key { createdAt } } }",
        "accounts { aggregate { sum { revenue } } }",
        "accounts { aggregate { countDistinct { name } } }",
        'deals(where: {account: {name: {eq: "Alp"}}}) { totalCount }',
        "deals(orderBy: [{account: {name: ASC}}]) { totalCount }",
        "deals { groupBy(by: [{account: {region: VALUE}}]) { aggregate { count } } }",
        "accounts(where: {peers: {some: {}}}) { totalCount }",
        'crm { accounts(where: {region: {eq: "north"}}) { totalCount } }',
    ],
)
def test_masked_field_decides_nothing(masked: World, using: str) -> None:
    response = asked(masked, f"{{ {using} }}", person())

    assert response["data"] is None
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "field_not_readable"


def test_masked_field_is_not_searched(masked: World) -> None:
    found = asked(masked, '{ accounts(search: "north") { totalCount } }', person())
    assert found["data"]["accounts"]["totalCount"] == 0
    assert "Account.region" in {note["coordinate"] for note in found["extensions"]["access"]}


def test_relation_by_a_masked_field_is_cut_off(masked: World) -> None:
    found = asked(masked, "{ accounts(first: 3) { nodes { peers { totalCount } } } }", person())
    assert {node["peers"]["totalCount"] for node in found["data"]["accounts"]["nodes"]} == {0}
    assert found["extensions"]["access"][0]["coordinate"] == "Account.peers"


def test_mask_that_does_not_fit_the_providers_type_shows_nothing(masked: World) -> None:
    text = "{ crm { accounts(first: 200) { nodes { id region revenue } } } }"
    nodes = asked(masked, text, person())["data"]["crm"]["accounts"]["nodes"]
    rows = {row["id"]: row for row in seeded()["crm", "accounts"]}
    assert {node["revenue"] for node in nodes} == {None}
    assert all(node["region"] == hashed("acme", rows[node["id"]]["region"]) for node in nodes)


def test_what_the_source_withholds_stays_withheld_under_a_mask(masked: World) -> None:
    """The mask of a field that the person may not read at all is no way to its parts."""
    found = asked(masked, "{ accounts { nodes { contactName } } }", person("masked@x.test"))
    assert {node["contactName"] for node in found["data"]["accounts"]["nodes"]} == {None}
    (note,) = found["extensions"]["access"]
    assert note["source"] == "crm"


def test_hash_without_a_key_shows_nothing(
    connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = with_policy(tmp_path_factory.mktemp("keyless"), POLICY)
    nodes = asked(world, "{ accounts { nodes { name } } }", person())["data"]["accounts"]["nodes"]
    assert {node["name"] for node in nodes} == {None}
    world.close()


@pytest.mark.parametrize(
    ("hidden", "absent"),
    [
        ("{ deals { nodes { secret } } }", "{ deals { nodes { sicret } } }"),
        ("{ tickets { nodes { accountNo } } }", "{ tickets { nodes { icountNo } } }"),
        ("{ tickets { nodes { account { id } } } }", "{ tickets { nodes { iccount { id } } } }"),
        ('{ deals(where: {secret: {eq: "s1"}}) { totalCount } }',
         '{ deals(where: {sicret: {eq: "s1"}}) { totalCount } }'),
        ("{ deals(orderBy: [{secret: ASC}]) { totalCount } }",
         "{ deals(orderBy: [{sicret: ASC}]) { totalCount } }"),
        ("{ deals { aggregate { max { secret } } } }",
         "{ deals { aggregate { max { sicret } } } }"),
        ("{ deals { groupBy(by: [{secret: VALUE}]) { key { secret } } } }",
         "{ deals { groupBy(by: [{sicret: VALUE}]) { key { sicret } } } }"),
        ("{ crm { deals { nodes { secret } } } }", "{ crm { deals { nodes { sicret } } } }"),
        ("{ crm { deals { nodes { account_id } } } }",
         "{ crm { deals { nodes { iccount_id } } } }"),
        ("{ crm { deals { nodes { Account { id } } } } }",
         "{ crm { deals { nodes { Iccount { id } } } } }"),
        ("{ crm { accounts { nodes { Deals { totalCount } } } } }",
         "{ crm { accounts { nodes { Dials { totalCount } } } } }"),
        ("{ accounts { nodes { tickets { totalCount } } } }",
         "{ accounts { nodes { tickits { totalCount } } } }"),
    ],
)  # fmt: skip
def test_hidden_field_answers_the_same_bytes_as_one_that_does_not_exist(
    masked: World, hidden: str, absent: str
) -> None:
    changes = [(a, b) for a, b in zip(hidden.split(), absent.split(), strict=True) if a != b]
    answers = []
    for text in (hidden, absent):
        response = asked(masked, text, person())
        assert response["errors"]
        assert "data" not in response
        answers.append(repr(response))
    expected = answers[1]
    for ours, theirs in changes:
        expected = expected.replace(_word(theirs), _word(ours))
    assert answers[0] == expected


def _word(text: str) -> str:
    kept = [each if each.isalnum() or each == "_" else " " for each in text]
    return max("".join(kept).split(), key=lambda each: "icret" in each or len(each))


def test_hidden_fields_are_in_no_schema(masked: World) -> None:
    text = """{ __schema { types { name fields { name } inputFields { name } } }
                _service { sdl } _search(text: "secret") { coordinate } }"""
    response = repr(asked(masked, text, person()))
    for word in ("secret", "accountNo", "account_id", "accountRegion"):
        assert f"'name': '{word}'" not in response
        assert f" {word}: " not in response  # in the SDL
    assert "'_search': []" in response
    assert "contactName" in response  # masked fields stay
