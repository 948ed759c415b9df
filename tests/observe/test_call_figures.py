"""`/metrics` of a served project shows the calls that it made to providers."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import PlainTextResponse
from tests.transport.loopback import serve
from tests.transport.test_transport import ORIGIN, get

import firnline.demo
from firnline.app import opened
from firnline.settings import Settings
from firnline.transport import Use
from firnline.web.backend import ProjectGateway

PROJECT = Path(firnline.demo.__file__).parent / "project"


async def test_figures_of_a_served_project_count_its_calls_to_providers(tmp_path: Path) -> None:
    async with serve(PlainTextResponse("{}")) as origin:
        settings = Settings(home=tmp_path, development=True, routes={ORIGIN: origin})
        async with opened(PROJECT, settings) as app:
            await app.connections.transport.send(get(use=Use.SYNC), deadline_s=5)
            text = ProjectGateway(app).figures().decode()

    lines = text.splitlines()
    assert 'firnline_provider_calls_total{class="ok",provider="zendesk",use="sync"} 1.0' in lines
    assert 'firnline_provider_circuits{provider="zendesk",state="closed"} 1.0' in lines
    assert any(line.startswith("# TYPE firnline_operation_calls_total") for line in lines)
    assert "acme" not in text
