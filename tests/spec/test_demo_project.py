"""The demo project fits the systems it speaks of: every mapped field is there, every value named.

Discovery runs over HTTP against the sandboxes, as the user whose connection syncs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

import pytest
from graphql import parse
from httpx2 import AsyncClient
from tests.spec.conftest import DEMO

from firnline.catalog.mapping import find_path, mapping_problems
from firnline.catalog.model import Catalog
from firnline.connectors.protocol import Connector, Request, Response
from firnline.connectors.registry import load_connector
from firnline.sandbox.protocol import Sandbox, SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import SandboxServer, running
from firnline.spec.effective import EffectiveMapping, effective_mappings
from firnline.spec.load import load_project
from firnline.spec.model import FromField, FromTags, Project

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TENANTS = ("acme", "globex")
Catalogs = Mapping[str, Catalog]


async def discovered(server: SandboxServer) -> Catalog:
    """Hold the connector's conversation with a sandbox over HTTP."""
    sandbox: Sandbox = server.sandbox
    connector = load_connector(server.provider)
    token = sandbox.token_for(sandbox.integration_email)
    headers = {**connector.manifest.headers, "Authorization": f"Bearer {token}"}
    settings = {**sandbox.settings, **connector.derived_settings(sandbox.settings)}
    async with AsyncClient(base_url=server.url, headers=headers) as http:
        return await _held(connector, http, settings)


async def _held(connector: Connector, http: AsyncClient, settings: Mapping[str, str]) -> Catalog:
    steps = connector.discover(settings)
    responses: Sequence[Response] | None = None
    while True:
        try:
            requests = steps.send(responses) if responses is not None else next(steps)
        except StopIteration as done:
            catalog: Catalog = done.value
            return catalog
        responses = [await _sent(http, request) for request in requests]


async def _sent(http: AsyncClient, request: Request) -> Response:
    answer = await http.request(
        request.method,
        request.path,
        params=dict(request.params) or None,
        headers=dict(request.headers),
        json=request.json,
    )
    names = {name.lower(): value for name, value in answer.headers.items()}
    return Response(answer.status_code, names, answer.content)


@pytest.fixture
async def catalogs() -> AsyncIterator[Mapping[str, Catalogs]]:
    """Return the catalogs by tenant and provider; the demo names connections as providers."""
    companies = [company(tenant, seed=7, scale=0.02, now=NOW) for tenant in TENANTS]
    options = SandboxOptions(seed=7, now=NOW, limits=False)
    async with running(companies, options=options) as fleet:
        found: dict[str, dict[str, Catalog]] = {tenant: {} for tenant in TENANTS}
        for (provider, tenant), server in fleet.servers.items():
            found[tenant][provider] = await discovered(server)
        yield found


def stored_values(
    catalogs: Catalogs, mapping: EffectiveMapping, source: FromField
) -> set[str] | None:
    """Return the values that the provider lists for a mapped field, None when it lists none."""
    field = find_path(catalogs[mapping.connection], mapping.source, source.from_)
    return {each.value for each in field.values} or None


def words(source: FromField, stored: set[str]) -> set[object]:
    """Return what the builder's field holds for the stored values; None for one left out."""
    if not source.values or source.otherwise == "keep":
        return {source.values.get(value, value) for value in stored}
    return {source.values.get(value, source.otherwise) for value in stored}


async def test_demo_maps_only_what_discovery_finds(catalogs: Mapping[str, Catalogs]) -> None:
    project = load_project(DEMO)
    for tenant in TENANTS:
        mappings = effective_mappings(project, tenant)
        assert set(mappings) == set(project.integration.objects)
        problems = mapping_problems(mappings, catalogs[tenant])
        assert [f"{problem.message} {problem.hint}" for problem in problems] == []
        for name, mapping in mappings.items():
            declared = project.integration.objects[name].fields
            assert set(mapping.fields) == set(declared), f"{tenant}: {name}"


async def test_demo_names_every_stored_value_of_every_enum(
    catalogs: Mapping[str, Catalogs],
) -> None:
    project = load_project(DEMO)
    judged = set()
    for tenant in TENANTS:
        for name, field, mapping in _enums(project, tenant):
            source = mapping.fields[field]
            spec = project.integration.objects[name].fields[field]
            if isinstance(source, FromTags):
                assert set(source.values.values()) == set(spec.values)
                continue
            assert isinstance(source, FromField)
            stored = stored_values(catalogs[tenant], mapping, source)
            if stored is None:
                continue
            judged.add(f"{tenant}.{name}.{field}")
            assert words(source, stored) == set(spec.values), f"{tenant}: {name}.{field}"
            assert set(source.values) <= stored, f"{tenant}: {name}.{field} names unused values"
    assert len(judged) >= 11, judged


def _enums(project: Project, tenant: str) -> list[tuple[str, str, EffectiveMapping]]:
    mappings = effective_mappings(project, tenant)
    return [
        (name, field, mappings[name])
        for name, declared in project.integration.objects.items()
        for field, spec in declared.fields.items()
        if spec.type == "enum"
    ]


async def test_demo_connections_are_those_of_the_sandboxes() -> None:
    companies = [company(tenant, seed=7, scale=0.02, now=NOW) for tenant in TENANTS]
    project = load_project(DEMO)
    async with running(companies, options=SandboxOptions(seed=7, now=NOW)) as fleet:
        for (provider, tenant), server in fleet.servers.items():
            declared = project.tenants[tenant].connections[provider]
            assert declared.settings == server.sandbox.settings


def test_demo_operations_are_graphql() -> None:
    folder = DEMO / "operations"
    operations = {path.name: parse(path.read_text("utf-8")) for path in folder.iterdir()}
    (operation,) = operations["renewals_at_risk.graphql"].definitions
    assert operation.name.value == "RenewalsAtRisk"  # type: ignore[attr-defined]
