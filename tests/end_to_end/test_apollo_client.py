"""Apollo Client's persisted query link works against the served project, registering or not."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.conftest import Synced
from tests.end_to_end.node import installed
from tests.end_to_end.test_http import Served, served

from firnline.sandbox.seed import DEMO_PEOPLE
from firnline.spec.model import GraphSpec

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENT = Path(__file__).parent / "apollo_client"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("registers", [True, False])
async def test_apollo_client_is_answered_by_hash_or_falls_back_to_the_text(
    synced: Synced,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    registers: bool,
) -> None:
    packages = await asyncio.to_thread(installed, CLIENT)
    tenants = synced.app.project.tenants
    rules = GraphSpec.model_validate({"automaticPersistedQueries": registers})
    monkeypatch.setitem(tenants, "acme", tenants["acme"].model_copy(update={"graph": rules}))
    token = served.signer.issue_token("acme", DEMO_PEOPLE["acme"]["rep"], 60)
    settings = {
        "ENDPOINT": str(served.http.base_url.join("/graphql")),
        "TOKEN": token,
        "METHOD": method,
        # A text of its own: what was answered by its hash may be answered so for another second.
        "TEXT": f"query Apollo{method}{registers} {{ accounts {{ totalCount }} }}",
    }
    asking = await asyncio.create_subprocess_exec(
        *("node", "ask.mjs"),
        cwd=packages,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(asking.communicate(), timeout=60)
    told: dict[str, Any] = json.loads(output)

    first, second = told["answers"]
    assert first == second
    assert first["accounts"]["totalCount"]
    # Each entry: the method, whether the text went along, the status.
    by_hash, by_text = [method, False, 200], ["POST", True, 200]
    with_hash = [told["sent"][1][0], True, 200]
    assert told["sent"] == [by_hash, with_hash, by_hash if registers else by_text]
