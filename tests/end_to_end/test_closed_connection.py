"""One system that is not connected does not keep a tenant's other systems from being read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.end_to_end.conftest import NOW, PROJECT

from firnline.app import opened
from firnline.connections.closed import NotConnectedError
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.sandbox.signin import connect
from firnline.settings import Settings


async def test_sync_reads_the_connected_systems_and_names_the_closed_ones(tmp_path: Path) -> None:
    world = company("acme", scale=0.01, now=NOW)
    options = SandboxOptions(seed=7, now=NOW, limits=False)
    async with running([world], options=options) as fleet:
        settings = Settings(home=tmp_path, routes=fleet.routes, duckdb_threads=1)
        async with opened(PROJECT, settings) as app:
            sandbox = fleet.server("netsuite", "acme").sandbox
            await connect(
                app.connections,
                app.tenant("acme"),
                "netsuite",
                client=sandbox.client,
                email=sandbox.integration_email,
            )

            discovered = await app.discover("acme")
            report = await app.sync("acme")

            assert [found.connection for found in discovered.discovered] == ["netsuite"]
            assert set(discovered.failures) == {"salesforce", "zendesk"}
            assert {one.connection for one in report.objects} == {"netsuite"}
            assert not report.failed
            assert not report.ok
            assert {name: why.code for name, why in report.closed.items()} == {
                "salesforce": "not_connected",
                "zendesk": "not_connected",
            }
            with pytest.raises(NotConnectedError):
                await app.sync("acme", ["zendesk"])
            with pytest.raises(NotConnectedError):
                await app.sync("acme", only=["tickets"])
