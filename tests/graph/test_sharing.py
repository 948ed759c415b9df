"""Tenants of equal shape share catalogs, graphs and schemas; what is kept is bounded."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from weakref import ref

import pytest

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.clock import FixedClock
from firnline.errors import UnknownTenantError
from firnline.graph.sharing import SharedGraphs, SharedSchemas, weight_of
from firnline.spec.model import AccessSpec, ConnectionSpec, IntegrationSpec, Project, TenantSpec

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POLICY = AccessSpec.model_validate({"providers": {"alpine": {"*": {"mode": "mirror"}}}})
SHOWS_NOTHING = AccessSpec.model_validate({"providers": {"alpine": {"*": {"mode": "deny"}}}})


def catalog(*names: str) -> Catalog:
    fields = tuple(FieldInfo(name=name, type="string") for name in ("id", *names))
    return Catalog(provider="alpine", objects=(ObjectInfo(name="things", key="id", fields=fields),))


class StoredCatalogs:
    """The state's catalogs, each reading made anew as JSON does it, and counted."""

    def __init__(self, catalogs: Mapping[str, Catalog]) -> None:
        self.catalogs = dict(catalogs)
        self.read: Counter[str] = Counter()

    async def catalog_fingerprints(self, tenant: str) -> Mapping[str, str]:
        return {"crm": self.catalogs[tenant].fingerprint}

    async def catalog(self, tenant: str, connection: str) -> tuple[int, Catalog] | None:
        self.read[tenant] += 1
        await asyncio.sleep(0)
        return 1, Catalog.model_validate_json(self.catalogs[tenant].model_dump_json())


def project(tenants: Mapping[str, AccessSpec]) -> Project:
    thing = {
        "fields": {"id": {"type": "id"}},
        "sources": {"alpine": {"object": "things", "fields": {"id": "id"}}},
    }
    integration = IntegrationSpec.model_validate(
        {"version": 1, "name": "test", "objects": {"Thing": thing}, "access": POLICY}
    )
    connections = {"crm": ConnectionSpec(provider="alpine")}
    return Project(
        integration=integration,
        tenants={
            name: TenantSpec(tenant=name, connections=connections, access=access)
            for name, access in tenants.items()
        },
    )


def graphs_of(
    catalogs: StoredCatalogs,
    access: Mapping[str, AccessSpec] | None = None,
    *,
    forgotten: list[str] | None = None,
    fields_max: int = 1000,
    clock: FixedClock | None = None,
) -> SharedGraphs:
    return SharedGraphs(
        project(access or dict.fromkeys(catalogs.catalogs, POLICY)),
        catalogs=catalogs,
        clock=clock or FixedClock(NOW),
        forget=(forgotten if forgotten is not None else []).extend,
        fields_max=fields_max,
    )


async def test_tenants_of_equal_shape_share_all_but_their_name() -> None:
    catalogs = StoredCatalogs({"acme": catalog("a"), "globex": catalog("a")})
    graphs = graphs_of(catalogs)

    acme, globex = await graphs.graph("acme"), await graphs.graph("globex")

    assert (acme.tenant, globex.tenant) == ("acme", "globex")
    assert acme.objects is globex.objects
    assert acme.catalogs is globex.catalogs
    assert (acme.shape, acme.version) == (globex.shape, globex.version)
    assert catalogs.read == {"acme": 1}


async def test_tenants_of_equal_catalogs_and_other_access_share_only_catalogs() -> None:
    catalogs = StoredCatalogs({"acme": catalog("a"), "globex": catalog("a")})
    graphs = graphs_of(catalogs, {"acme": POLICY, "globex": SHOWS_NOTHING})

    acme, globex = await graphs.graph("acme"), await graphs.graph("globex")

    assert acme.catalogs["crm"] is globex.catalogs["crm"]
    assert "Crm_things" in acme.objects
    assert "Crm_things" not in globex.objects


async def test_a_tenant_whose_catalog_changes_leaves_the_others_as_they_were() -> None:
    clock = FixedClock(NOW)
    catalogs = StoredCatalogs({"acme": catalog("a"), "globex": catalog("a")})
    graphs = graphs_of(catalogs, clock=clock)
    before = await graphs.graph("globex")
    catalogs.catalogs["acme"] = catalog("a", "b")
    await clock.sleep(2)

    acme = await graphs.graph("acme")

    assert "b" in acme.objects["Crm_things"].fields
    assert await graphs.graph("globex") is before


async def test_many_who_ask_for_one_shape_at_once_build_it_once() -> None:
    names = [f"t{number}" for number in range(20)]
    catalogs = StoredCatalogs(dict.fromkeys(names, catalog("a")))
    graphs = graphs_of(catalogs)

    found = await asyncio.gather(*(graphs.graph(name) for name in names))

    assert len({id(graph.objects) for graph in found}) == 1
    assert catalogs.read.total() == 1


async def test_shapes_beyond_the_budget_go_and_their_tenants_are_forgotten() -> None:
    shapes = {f"t{number}": catalog(f"field{number}") for number in range(6)}
    catalogs, forgotten = StoredCatalogs(shapes), list[str]()
    graphs = graphs_of(catalogs, forgotten=forgotten, fields_max=10)
    first = ref((await graphs.graph("t0")).catalogs["crm"])
    for name in list(shapes)[1:]:
        weight = weight_of(await graphs.graph(name))

    assert forgotten == list(shapes)[: 6 - 10 // weight]
    gc.collect()
    assert first() is None, "something keeps the catalog of a forgotten shape"
    assert (await graphs.graph("t0")).objects["Crm_things"].fields["field0"]
    assert catalogs.read["t0"] == 2


async def test_an_unknown_tenant_is_refused_before_anything_is_kept() -> None:
    graphs = graphs_of(StoredCatalogs({"acme": catalog("a")}))
    with pytest.raises(UnknownTenantError):
        await graphs.graph("other")


async def test_a_schema_is_built_once_for_all_threads_that_ask() -> None:
    graph = await graphs_of(StoredCatalogs({"acme": catalog("a")})).graph("acme")
    schemas = SharedSchemas()

    found = await asyncio.gather(
        *(schemas.prepared(graph) for _ in range(4)),
        *(asyncio.to_thread(schemas.schema, graph) for _ in range(4)),
    )

    assert len({id(schema) for schema in found}) == 1
