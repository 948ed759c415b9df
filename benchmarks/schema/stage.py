"""A project with many tenants, each with a small cache of its own, answered by one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyarrow as pa

from benchmarks.schema.subject import (
    NOW,
    TENANT_FIELDS,
    TENANT_OBJECTS,
    catalog,
    write_project,
)
from firnline.app import App, opened
from firnline.cache.columns import arrow_type
from firnline.cache.database import TenantDatabase
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.settings import Settings
from firnline.state.state import State

_ROWS = 20
_USERS = ObjectInfo(
    name="users",
    key="id",
    exposed=False,
    fields=tuple(FieldInfo(name=name, type="string") for name in ("id", "email", "team")),
)


@asynccontextmanager
async def answering(folder: Path, count: int, shapes: int) -> AsyncIterator[App]:
    """Open the project; tenants of one shape start from copies of one cache."""
    project, home = folder / "project", folder / "home"
    project.mkdir()
    (home / "cache").mkdir(parents=True)
    write_project(project, count)
    settings = Settings(home=home)
    await _discover(settings, count, shapes)
    for shape in range(min(shapes, count)):
        first = home / "cache" / f"t{shape:04d}.duckdb"
        _fill(first, _catalog(shape))
        for number in range(shape + shapes, count, shapes):
            # One file under many names: fifteen megabytes on the disk are not what is measured.
            (home / "cache" / f"t{number:04d}.duckdb").hardlink_to(first)
    async with opened(project, settings, read_only=True) as app:
        yield app


def _catalog(shape: int) -> Catalog:
    found = catalog(TENANT_OBJECTS, TENANT_FIELDS, shape)
    return found.model_copy(update={"objects": (*found.objects, _USERS)})


async def _discover(settings: Settings, count: int, shapes: int) -> None:
    state = await State.open(settings)
    try:
        for number in range(count):
            tenant = f"t{number:04d}"
            await state.save_catalog(tenant, "crm", _catalog(number % shapes), at=NOW)
    finally:
        await state.close()


def _fill(path: Path, found: Catalog) -> None:
    database = TenantDatabase.open(path)
    try:
        with database.transaction() as transaction:
            for object_ in found.objects:
                transaction.ensure("crm", object_)
                columns = {
                    field.name: pa.array([None] * _ROWS, arrow_type(field))
                    for field in object_.fields
                }
                columns["id"] = pa.array([f"{number:04d}" for number in range(_ROWS)])
                if object_ is _USERS or object_.name == "users":
                    columns["email"] = pa.array(["all@bench.example"] * _ROWS)
                    columns["team"] = pa.array(["all"] * _ROWS)
                transaction.upsert("crm", object_, pa.table(columns), run="bench")
    finally:
        database.close()
