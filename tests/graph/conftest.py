"""Worlds of the read path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.graph.world import World, seeded

from firnline.graph.memory.tables import ResidentTables


@pytest.fixture(scope="module", autouse=True)
def connectors() -> Iterator[None]:
    """Let the tests' own connectors be found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "connectors"))
        yield


@pytest.fixture(scope="module")
def is_resident() -> bool:
    """Say whether columns are kept in memory; modules that must hold both ways override this."""
    return False


@pytest.fixture(scope="module")
def world(
    connectors: None, tmp_path_factory: pytest.TempPathFactory, is_resident: bool
) -> Iterator[World]:
    """Give two tenants with data, which tests may not change."""
    world = World.open(tmp_path_factory.mktemp("home"))
    if is_resident:
        world.resident = ResidentTables(1 << 28)
        world.renew()
    for tenant in ("acme", "beta"):
        world.fill(seeded(), tenant)
    yield world
    world.close()


@pytest.fixture
def own_world(connectors: None, tmp_path: Path) -> Iterator[World]:
    """Give a world of the test's own, without data."""
    world = World.open(tmp_path)
    yield world
    world.close()
