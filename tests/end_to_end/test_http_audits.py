"""The served project conforms to GraphQL over HTTP: every audit of npm's graphql-http passes."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from tests.end_to_end.node import installed
from tests.end_to_end.test_http import Served, served

from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

AUDITS = Path(__file__).parent / "graphql_http"
AUDIT_COUNT = 61


async def test_every_audit_of_graphql_over_http_passes(served: Served) -> None:
    packages = await asyncio.to_thread(installed, AUDITS)
    token = served.signer.issue_token("acme", DEMO_PEOPLE["acme"]["rep"], 60)
    url = str(served.http.base_url.join("/graphql"))
    auditing = await asyncio.create_subprocess_exec(
        "node",
        "audit.mjs",
        cwd=packages,
        env={**os.environ, "URL_TO_AUDIT": url, "TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(auditing.communicate(), timeout=60)

    results = json.loads(output)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDIT_COUNT
