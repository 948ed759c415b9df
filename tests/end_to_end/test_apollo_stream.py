"""Apollo Client shows what `@stream` and `@defer` give first, then all of it, in both its forms."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from tests.end_to_end.node import installed
from tests.end_to_end.test_apollo_client import CLIENT
from tests.end_to_end.test_http import Served, served

from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

REP = DEMO_PEOPLE["acme"]["rep"]
STREAMED = """query Streamed { deals(first: 150) { __typename totalCount
  nodes @stream(initialCount: 2) { __typename id name account { __typename id name } } } }"""
BOTH = """query Both { __typename deals(first: 9) { __typename nodes @stream(initialCount: 1)
    { __typename id } }
  ... @defer(label: "later") { accounts(first: 3) { __typename totalCount } } }"""
ANNOUNCED = {"old": "deferSpec=20220824", "new": "multipart/mixed"}


@pytest.mark.parametrize("form", ["old", "new"])
@pytest.mark.parametrize("text", [STREAMED, BOTH], ids=["stream", "stream and defer"])
async def test_apollo_client_shows_the_beginning_and_then_everything(
    served: Served, form: str, text: str
) -> None:
    plain = text.replace("@stream(initialCount: 2)", "").replace("@stream(initialCount: 1)", "")
    whole = await served.ask("acme", REP, query=plain.replace('@defer(label: "later")', ""))
    expected = whole.json()["data"]
    count = 2 if text == STREAMED else 1

    told = await shown(served, text, form)

    assert all(ANNOUNCED[form] in each for each in told["types"])
    first, *_, last = told["states"]
    assert first["data"]["deals"]["nodes"] == expected["deals"]["nodes"][:count]
    assert not first["isDone"]
    assert last["isDone"]
    assert last["data"] == expected
    assert len(expected["deals"]["nodes"]) > count
    lengths = [len(each["data"]["deals"]["nodes"]) for each in told["states"]]
    assert lengths == sorted(lengths)


async def shown(served: Served, text: str, form: str) -> Any:
    packages = await asyncio.to_thread(installed, CLIENT)
    settings = {
        "ENDPOINT": str(served.http.base_url.join("/graphql")),
        "TOKEN": served.signer.issue_token("acme", REP, 60),
        "FORM": form,
        "TEXT": text,
    }
    asking = await asyncio.create_subprocess_exec(
        *("node", "stream.mjs"),
        cwd=packages,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problems = await asyncio.wait_for(asking.communicate(), timeout=60)
    assert asking.returncode == 0, problems.decode()
    return json.loads(output)
