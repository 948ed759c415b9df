"""Attacks on what people may not see, over HTTP: operands, orders, groups, paths, ids, headers.

The contractor's profile keeps the amounts of deals from them; the other tenant is out of reach.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from graphql import (
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_client_schema,
    get_introspection_query,
    get_named_type,
    is_required_argument,
)
from tests.end_to_end.conftest import Synced
from tests.end_to_end.test_http import Served, served

from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTRACTOR = DEMO_PEOPLE["acme"]["contractor"]
MANAGER = DEMO_PEOPLE["acme"]["manager"]
NUMBER = re.compile(r"\d{3,}")
# Each would tell the amounts, or their order, if it ran over them.
USES = {
    "filter": "{ deals(where: {amount: {gt: 1000}}) { totalCount } }",
    "negated filter": "{ deals(where: {not: {amount: {lte: 1000}}}) { totalCount } }",
    "filter for nothing": "{ deals(where: {amount: {isNull: true}}) { totalCount } }",
    "order": "{ deals(orderBy: [{amount: DESC}], first: 3) { nodes { id } } }",
    "order through a relation": "{ accounts(orderBy: [{deals: {aggregate: {sum: {amount: "
    "DESC}}}}]) { nodes { id } } }",
    "filter through a relation": "{ accounts(where: {deals: {some: {amount: {gt: 1}}}}) "
    "{ totalCount } }",
    "filter by an aggregate": "{ accounts(where: {deals: {aggregate: {sum: {amount: {gt: 1}}}}}) "
    "{ totalCount } }",
    "sum": "{ deals { aggregate { sum { amount } } } }",
    "extremes": "{ deals { aggregate { min { amount } max { amount } } } }",
    "sum of a relation": "{ accounts(first: 2) { nodes { deals { aggregate { sum { amount } } } } "
    "} }",
    "group": "{ deals { groupBy(by: [{amount: VALUE}]) { aggregate { count } } } }",
    "group's condition": "{ deals { groupBy(by: [{stage: VALUE}], "
    "having: {sum: {amount: {gt: 1}}}) { aggregate { count } } } }",
    "distinct": "{ deals(distinctOn: [{amount: VALUE}]) { totalCount } }",
    "own name at the provider": "{ salesforce { Opportunity(where: {Amount: {gt: 1}}) "
    "{ totalCount } } }",
}


@dataclass(frozen=True)
class Client:
    served: Served
    token: str

    async def ask(self, query: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
        known = {"authorization": f"Bearer {self.token}", **(headers or {})}
        answer = await self.served.http.post(
            "/graphql", json={"query": query, **more}, headers=known
        )
        return answer.json()


def client(served: Served, email: str, tenant: str = "acme") -> Client:
    return Client(served, served.signer.issue_token(tenant, email, 60))


@pytest.mark.parametrize("use", USES)
async def test_masked_field_decides_about_no_record(served: Served, use: str) -> None:
    """The person is refused, and told nothing of the values; others' questions are right."""
    refused = await client(served, CONTRACTOR).ask(USES[use])
    allowed = await client(served, MANAGER).ask(USES[use])
    assert "errors" not in allowed, allowed
    (error,) = refused["errors"]
    assert error["extensions"]["code"] in {"field_not_readable", "operation_refused"}
    told = NUMBER.findall(error["message"] + error["extensions"].get("hint", ""))
    assert [number for number in told if number not in USES[use]] == []
    assert not [value for value in leaves(refused["data"]) if value is not None]


def leaves(value: Any) -> Iterator[Any]:
    """Yield what is told of records: everything below the lists' own members."""
    for each in value.values() if isinstance(value, dict) else value or ():
        if isinstance(each, dict | list):
            yield from leaves(each)
        else:
            yield each


def paths(schema: GraphQLSchema, goal: str, depth: int) -> Iterator[str]:
    """Yield selections that lead to records of a type, IT standing for what is asked of them."""
    query = schema.query_type
    assert query is not None

    def walk(type_: GraphQLObjectType, left: int) -> Iterator[str]:
        if type_.name == goal:
            yield "IT"
        if not left:
            return
        for name, field in type_.fields.items():
            if any(map(is_required_argument, field.args.values())):
                continue
            inner = get_named_type(field.type)
            if isinstance(inner, GraphQLUnionType):
                for one in inner.types:
                    for rest in walk(one, left - 1):
                        yield f"{name} {{ ... on {one.name} {{ {rest} }} }}"
            elif isinstance(inner, GraphQLObjectType):
                page = "(first: 2)" if "first" in field.args else ""
                cost = 0 if name in {"nodes", "edges", "node"} else 1
                for rest in walk(inner, left - cost):
                    yield f"{name}{page} {{ {rest} }}"

    yield from walk(query, depth)


@pytest.mark.parametrize(
    ("goal", "field"), [("Deal", "amount"), ("Salesforce_Opportunity", "Amount")]
)
async def test_every_path_to_a_masked_field_is_masked(
    served: Served, goal: str, field: str
) -> None:
    manager, contractor = client(served, MANAGER), client(served, CONTRACTOR)
    described = await manager.ask(get_introspection_query())
    schema = build_client_schema(described["data"])
    found = list(paths(schema, goal, 3))
    assert len(found) >= 4
    shown = 0
    for path in found[:60]:
        ways = (
            f"{{ {path.replace('IT', field)} }}",
            f"{{ {path.replace('IT', f'... on {goal} {{ other: {field} }}')} }}",
            f"query {{ {path.replace('IT', '...Them')} }} fragment Them on {goal} {{ {field} }}",
        )
        for text in ways:
            values = list(leaves((await contractor.ask(text)).get("data")))
            assert {type(value) for value in values} <= {type(None)}, text
        seen = await manager.ask(ways[0])
        shown += any(value is not None for value in leaves(seen["data"]))
    assert shown, "the paths lead to no amount at all"


async def test_id_of_another_tenant_is_answered_as_one_that_nobody_has(
    synced: Synced, served: Served
) -> None:
    other = client(served, DEMO_PEOPLE["globex"]["manager"], "globex")
    (theirs,) = (await other.ask("{ accounts(first: 1) { nodes { id } } }"))["data"]["accounts"][
        "nodes"
    ]
    nobody = theirs["id"][:-4] + "ZZZZ"
    me = client(served, MANAGER)
    for text in (
        '{ account(id: "%s") { id name } }',
        '{ accounts(where: {id: {eq: "%s"}}) { totalCount nodes { id } } }',
        '{ _entities(representations: [{__typename: "Account", id: "%s"}]) { __typename } }',
        '{ _access(object: "Account", id: "%s") { readable } }',
    ):
        there, nowhere = [
            str(await me.ask(text % key)).replace(key, "ID") for key in (theirs["id"], nobody)
        ]
        assert there == nowhere


@pytest.mark.parametrize(
    "headers",
    [
        {"x-tenant": "globex"},
        {"x-tenant-id": "globex", "x-forwarded-user": "admin"},
        {"host": "globex.example"},
        {"x-forwarded-host": "globex.example", "x-original-url": "/globex"},
        {"cookie": "tenant=globex"},
    ],
)
async def test_header_chooses_no_tenant(served: Served, headers: dict[str, str]) -> None:
    answer = await client(served, MANAGER).ask("{ _gateway { tenant } }", headers=headers)
    assert answer["data"]["_gateway"]["tenant"] == "acme"


@pytest.mark.parametrize("path", ["/graphql/globex", "/globex/graphql", "/graphql/", "//graphql"])
async def test_path_chooses_no_tenant(served: Served, path: str) -> None:
    token = served.signer.issue_token("acme", MANAGER, 60)
    url = str(served.http.base_url).rstrip("/") + path
    async with httpx2.AsyncClient() as plain:
        answer = await plain.post(
            url,
            json={"query": "{ _gateway { tenant } }"},
            headers={"authorization": f"Bearer {token}"},
        )
    assert answer.status_code == 404


async def test_kept_answer_of_one_tenant_or_person_is_nobody_elses(served: Served) -> None:
    text = "query Mine { _gateway { tenant } accounts(first: 5) { totalCount nodes { id name } } }"
    askers = [("acme", MANAGER), ("acme", CONTRACTOR), ("acme", DEMO_PEOPLE["acme"]["rep"])]
    askers += [("globex", DEMO_PEOPLE["globex"]["manager"]), ("acme", "stranger@acme.example")]
    clients = [client(served, email, tenant) for tenant, email in askers]
    first = [(await each.ask(text))["data"] for each in clients]
    for _ in range(4):
        assert [(await each.ask(text))["data"] for each in clients] == first
    assert [each["_gateway"]["tenant"] for each in first] == [tenant for tenant, _ in askers]
    assert first[-1]["accounts"]["totalCount"] == 0
    assert first[3]["accounts"]["nodes"] != first[0]["accounts"]["nodes"]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded"])
async def test_form_of_another_site_is_refused(served: Served, media: str) -> None:
    token = served.signer.issue_token("acme", MANAGER, 60)
    headers = {"authorization": f"Bearer {token}", "content-type": media}
    answer = await served.http.post(
        "/graphql", content=b'{"query": "{ __typename }"}', headers=headers
    )
    assert answer.status_code == 415


async def test_gateways_own_wide_right_serves_nobody_without_rights(served: Served) -> None:
    """The organisation's connection read everything; who is no user anywhere sees none of it."""
    stranger = client(served, "ceo@elsewhere.example")
    described = await stranger.ask(get_introspection_query())
    schema = build_client_schema(described["data"])
    assert schema.query_type is not None
    for name, field in schema.query_type.fields.items():
        inner = get_named_type(field.type)
        if not isinstance(inner, GraphQLObjectType) or "totalCount" not in inner.fields:
            continue
        answer = await stranger.ask(f"{{ {name} {{ totalCount nodes {{ __typename }} }} }}")
        assert answer["data"][name] == {"totalCount": 0, "nodes": []}
