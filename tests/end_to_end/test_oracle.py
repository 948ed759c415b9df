"""What Firnline shows a person is what each provider shows that person's own token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import httpx2
import orjson
import pytest
from tests.end_to_end.conftest import NOW, TENANTS, Synced, company

from firnline.access.principal import Principal
from firnline.catalog.model import FieldInfo, ObjectInfo
from firnline.connectors.registry import connector_folders
from firnline.graph.names import graphql_name
from firnline.graph.shape import GraphObject
from firnline.sync.normalize import normalize

PROVIDERS = tuple(sorted(connector_folders()))
EVERYONE = [
    (tenant, person.email)
    for tenant in TENANTS
    for person in company(tenant, scale=0.01, now=NOW).people
]
Records = dict[str, dict[str, Any]]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("tenant", "email"), EVERYONE)
@pytest.mark.asyncio(loop_scope="session")
async def test_person_sees_exactly_what_the_provider_shows_them(
    synced: Synced, tenant: str, email: str, provider: str
) -> None:
    """Records, readable fields and values, for every object of every connection."""
    graph = await synced.app.graphs.graph(tenant)
    objects = {
        found.source.name: found for found in graph.objects.values() if found.namespace == provider
    }
    theirs = await asked_directly(synced, tenant, provider, email)

    ours = {
        name: await asked_firnline(synced, tenant, email, found) for name, found in objects.items()
    }

    for name, found in objects.items():
        expected = dict(answered(found.source, theirs.get(name, {})))
        masked, records = ours[name]
        assert records.keys() == expected.keys(), name
        for key, record in records.items():
            visible = {k: v for k, v in record.items() if k not in masked}
            assert visible == {field: expected[key].get(field) for field in visible}, (
                f"{name} {key}"
            )
            # A masked field is one that the provider does not show at all, or the builder hides.
            withheld = masked - set(found.policy.hide)
            assert not [k for k, v in expected[key].items() if k in withheld and v is not None]


async def asked_directly(
    synced: Synced, tenant: str, provider: str, email: str
) -> Mapping[str, Any]:
    server = synced.fleet.server(provider, tenant)
    if email not in server.sandbox.emails():
        return {}
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
        return await server.sandbox.read_as(http, email)


async def asked_firnline(
    synced: Synced, tenant: str, email: str, found: GraphObject
) -> tuple[set[str], Records]:
    """Return the masked fields and every record, paged through the provider's face."""
    fields = " ".join(found.fields)
    text = (
        f"query ($after: String) {{ {found.namespace} {{ {found.list_name}"
        f"(first: 200, after: $after) {{ nodes {{ {fields} }} totalCount"
        " pageInfo { hasNextPage endCursor } } } }"
    )
    principal = Principal(tenant=tenant, email=email)
    records: Records = {}
    masked: set[str] = set()
    total = 0
    after: str | None = None
    while True:
        answer = await synced.app.ask(principal, text, variables={"after": after})
        assert not answer.errors, answer.errors
        assert answer.data is not None
        page = answer.data[found.namespace][found.list_name]
        for node in page["nodes"]:
            assert node[found.key] not in records, "a record on two pages"
            records[node[found.key]] = node
        total = page["totalCount"]
        masked |= {
            note["coordinate"].split(".", 1)[1]
            for note in answer.extensions["access"]
            if note["effect"] == "masked"
        }
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert total == len(records)
    by_graphql_name = {graphql_name(f.name): f.name for f in found.source.fields}
    return (
        {by_graphql_name[name] for name in masked},
        {
            key: {by_graphql_name[name]: value for name, value in node.items()}
            for key, node in records.items()
        },
    )


def answered(
    source: ObjectInfo, records: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the provider's JSON in the form that answers carry, with only the fields it showed."""
    for key, record in records.items():
        table = normalize([record], source).rows
        row = table.to_pylist()[0]
        yield (
            key,
            {
                name: _form(source.by_name[name], row[name])
                for name in record
                if name in source.by_name
            },
        )


def _form(field: FieldInfo, value: Any) -> Any:
    match value:
        case None:
            return None
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "") + "Z"
        case date() | time():
            return value.isoformat()
        case str() if field.type == "json":
            return orjson.loads(value)
        case _:
            return value
