"""Introspection's schemas are built beside the event loop, never on it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.graph.world import World, seeded

from firnline.graph import visible
from firnline.graph.schema import TenantSchema


def test_the_schema_of_a_persons_part_is_built_in_a_thread(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person sees less than the whole, so that a schema of its own is needed, once."""
    own_world.fill(seeded())
    builders: list[threading.Thread] = []

    def built(graph: Any) -> TenantSchema:
        builders.append(threading.current_thread())
        return TenantSchema(graph)

    monkeypatch.setattr(visible, "TenantSchema", built)
    query = '{ __type(name: "Account") { fields { name } } __schema { queryType { name } } }'
    for _ in range(2):
        data = own_world.data(query, "masked@x.test")
        assert "revenue" not in {each["name"] for each in data["__type"]["fields"]}

    assert len(builders) == 1
    assert builders[0] is not threading.main_thread()
