"""Discovery: catalogs are stored by version, changes are named, one failure stops nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from tests.sync.fake_provider import FakeConnector, FakeProvider

from firnline.catalog.diff import CatalogDiff, ObjectDiff, Retyped, catalog_diff
from firnline.catalog.discovery import discover_tenant
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, Reference
from firnline.clock import FixedClock
from firnline.connectors.protocol import Connector, Response, Steps
from firnline.errors import FirnlineError, UsageError
from firnline.settings import Settings
from firnline.state.state import State

CLOCK = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))


def catalog(*objects: ObjectInfo) -> Catalog:
    return Catalog(provider="fake", objects=objects)


def object_of(name: str, **fields: Any) -> ObjectInfo:
    described = (FieldInfo(name=field, **options) for field, options in fields.items())
    return ObjectInfo(name=name, key="id", fields=(FieldInfo(name="id", type="id"), *described))


class FakeChannel:
    """Answers every request of the conversation with the catalog, or fails."""

    def __init__(self, name: str, found: Catalog | bytes | FirnlineError) -> None:
        self.name = name
        self.connector: Connector = FakeConnector(FakeProvider())
        self.settings: Mapping[str, str] = {}
        self._found = found

    async def run(self, steps: Steps[Any]) -> Any:
        if isinstance(self._found, FirnlineError):
            steps.close()
            raise self._found
        content = self._found if isinstance(self._found, bytes) else None
        try:
            batch = next(steps)
            while True:
                body = content or orjson.dumps(self._found.model_dump(mode="json"))
                batch = steps.send([Response(200, {}, body) for _ in batch])
        except StopIteration as done:
            return done.value


@pytest.fixture
async def state(tmp_path):
    opened = await State.open(Settings(home=tmp_path, _env_file=None))
    yield opened
    await opened.close()


async def test_the_first_discovery_stores_version_one(state: State) -> None:
    found = catalog(object_of("Deal", Stage={"type": "string", "custom": True}))

    report = await discover_tenant(
        "acme", channels=[FakeChannel("crm", found)], state=state, clock=CLOCK
    )

    assert report.ok
    assert await state.catalog("acme", "crm") == (1, found)
    facts = report.as_dict()["connections"][0]
    assert facts["version"] == 1
    assert facts["objects"][0] | {"fields": 2, "custom_fields": 1} == facts["objects"][0]


async def test_discovering_the_same_again_keeps_the_version(state: State) -> None:
    channel = FakeChannel("crm", catalog(object_of("Deal")))
    for _ in range(2):
        report = await discover_tenant("acme", channels=[channel], state=state, clock=CLOCK)

    assert report.discovered[0].version == 1
    assert not report.discovered[0].changes
    assert not report.discovered[0].is_first


async def test_what_changed_is_named_and_a_new_version_stored(state: State) -> None:
    old = catalog(object_of("Deal", Stage={"type": "string"}, Old={"type": "int"}), object_of("X"))
    new = catalog(object_of("Deal", Stage={"type": "int"}, New={"type": "bool"}), object_of("Y"))
    for found in (old, new):
        report = await discover_tenant(
            "acme", channels=[FakeChannel("crm", found)], state=state, clock=CLOCK
        )

    assert report.discovered[0].version == 2
    assert report.discovered[0].changes == CatalogDiff(
        objects_added=("Y",),
        objects_removed=("X",),
        objects_changed=(
            ObjectDiff(
                object="Deal",
                fields_added=("New",),
                fields_removed=("Old",),
                retyped=(Retyped(field="Stage", old="string", new="int"),),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (UsageError("no"), "usage"),
        (b'{"provider": 5}', "catalog_unreadable"),
        (b"<html>", "catalog_unreadable"),
        (catalog(), "catalog_empty"),
    ],
)
async def test_a_failing_connection_keeps_its_catalog_and_stops_nobody(
    state: State, found: Any, code: str
) -> None:
    good = catalog(object_of("Deal"))
    await state.save_catalog("acme", "erp", good, at=CLOCK.now())
    channels = [FakeChannel("erp", found), FakeChannel("crm", good)]

    report = await discover_tenant("acme", channels=channels, state=state, clock=CLOCK)

    assert not report.ok
    assert report.failures["erp"].code == code
    assert [one.connection for one in report.discovered] == ["crm"]
    assert await state.catalog("acme", "erp") == (1, good)
    with pytest.raises(FirnlineError):
        report.raise_first()


def test_a_reference_or_a_decimal_that_changes_is_retyped() -> None:
    owner = Reference(targets=("User",), relation="Owner")
    old = catalog(
        object_of("Deal", Owner={"type": "id", "reference": owner}, Amount={"type": "decimal"})
    )
    new = catalog(object_of("Deal", Owner={"type": "id"}, Amount={"type": "decimal", "scale": 4}))

    assert catalog_diff(old, new).objects_changed[0].retyped == (
        Retyped(field="Amount", old="decimal(18,2)", new="decimal(18,4)"),
        Retyped(field="Owner", old="id -> User", new="id"),
    )


def test_labels_alone_are_no_change_of_shape() -> None:
    old = catalog(object_of("Deal", Stage={"type": "string", "label": "Stage"}))
    new = catalog(object_of("Deal", Stage={"type": "string", "label": "Phase"}))

    assert not catalog_diff(old, new)
