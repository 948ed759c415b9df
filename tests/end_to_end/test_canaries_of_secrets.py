"""No secret leaves: every output of a whole installation is searched for every secret in it.

Real providers' sandboxes and the tests' own strict ones issue them, commands and servers run as
processes at DEBUG, and providers fail in all ways that say back what they were shown. What the
other side issued, and what people entered, is then looked for in everything that was said or
written, as it is, in part, escaped and encoded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from starlette.responses import Response
from tests.end_to_end.canaries import acts
from tests.end_to_end.canaries.inside import act_inside, look_at_records
from tests.end_to_end.canaries.needles import Finding, Haystack, Needles, Secret
from tests.end_to_end.canaries.objects import reachable, shown
from tests.end_to_end.canaries.scene import Browser, Scene, staged
from tests.transport.loopback import serve

from firnline.app import opened
from firnline.errors import FirnlineError
from firnline.observe.alerts import alert_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

# How many of a kind there are at least: a canary that was never issued proves nothing.
KINDS = {
    "access token": 20,
    "refresh token": 8,
    "authorization code": 7,
    "state": 7,
    "PKCE verifier": 7,
    "client secret": 4,
    "private key": 5,
    "assertion": 5,
    "API key": 2,
    "password": 2,
    "session cookie": 3,
    "CSRF token": 1,
    "connect link": 3,
    "page session": 1,
    "form ticket": 1,
    "sign-in session": 1,
    "Firnline key": 2,
    "person token": 4,
    "master key": 2,
    "data key": 3,
    "derived key": 3,
    "installation secret": 1,
    "alerts secret": 2,
    "metrics token": 1,
    "database password": 1,
}
PLACES = {
    "stdout",
    "stderr",
    "log",
    "response",
    "metrics",
    "file",
    "filename",
    "exception",
    "variables",
    "event",
    "row",
    "status",
    "call",
    "alert",
    "object",
    "repr",
    "cmdline",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Give the scene after everything was done in it."""
    folder: Path = tmp_path_factory.mktemp("canaries")
    async with staged(folder) as made:
        await acts.connect_by_commands(made)
        key = await acts.make_keys(made)
        await acts.ask_by_commands(made)
        await acts.serve_in_production(made, key)
        await acts.serve_in_development(made)
        await act_inside(made)
        for alert in made.alerts:
            made.hay.add("alert", alert)
        acts.look_at_files(made, "after")
        yield made


@pytest.fixture(scope="module")
def needles(scene: Scene) -> Needles:
    """Give every secret in every form."""
    return Needles(scene.books.secrets)


def report(found: list[Finding]) -> str:
    """Return findings as lines."""
    return "\n".join(f"{each.kind} ({each.form}) in {each.place}: {each.near!r}" for each in found)


async def test_every_kind_of_secret_was_issued(scene: Scene) -> None:
    counts = scene.books.counts()
    assert {kind: counts.get(kind, 0) for kind in KINDS if counts.get(kind, 0) < KINDS[kind]} == {}
    assert set(counts) <= set(KINDS)


async def test_every_place_was_looked_at(scene: Scene) -> None:
    assert PLACES - scene.hay.places() == set()


async def test_every_provider_said_back_what_it_was_shown(scene: Scene) -> None:
    """And it came back as errors of many kinds, one of them a crash."""
    spoiled = {name: witness.spoiled for name, witness in scene.witnesses.items()}
    assert {name for name, times in spoiled.items() if times < 2} <= {"bazaar", "alerts"}
    assert set(scene.errors) >= {
        "client_refused",
        "credentials_refused",
        "grant_refused",
        "needs_reconnect",
        "other_browser",
        "provider_answer_unusable",
        "provider_forbidden",
        "provider_refused",
        "provider_unavailable",
        "provider_unreachable",
    }
    assert any(b"Traceback" in content for place, content, _ in scene.hay.lying if "serve" in place)


async def test_no_secret_is_in_any_place(scene: Scene, needles: Needles) -> None:
    found = scene.hay.search(needles)
    assert not found, f"{len(found)} leaks\n{report(found)}"


# -- the search itself can fail -------------------------------------------------------------------

PARENT = """
import subprocess, sys
waiting = [sys.executable, "-c", "import sys; sys.stdin.read()", sys.argv[1]]
child = subprocess.Popen(waiting, stdin=subprocess.PIPE)
print(flush=True)
sys.stdin.read()
child.communicate(b"")
"""


async def test_leak_is_found_in_every_place_where_it_is_planted(scene: Scene) -> None:
    """A careless operator, a careless log line, a careless error: none stays hidden."""
    known, scene.hay = scene.hay, Haystack()
    canary = "planted-canary-of-a-token-K3v9w1Xy"
    try:
        await _plant(scene, canary)
        found = scene.hay.search(Needles([Secret("access token", canary.encode())]))
    finally:
        scene.hay = known
    assert (PLACES | {"environ"}) - {each.place.split()[0] for each in found} == set()


async def _plant(scene: Scene, canary: str) -> None:
    """Leak a secret in every way that is searched, by the means of those who leak."""
    hay = scene.hay
    # Whoever types a token as a reason finds it in the row, the event, the file and the list.
    await scene.command("connections", "disable", "north", "callsBasic", "--reason", canary)
    await scene.command("connections", "list", "north")
    acts.look_at_files(scene, "planted")
    async with opened(scene.project, scene.settings()) as app:
        await look_at_records(scene, app)
        await app.connections.test(app.tenant("north"), "calls")
        record = replace(app.connections.transport.calls.of("north", "calls")[0], template=canary)
        hay.add("call", shown(record))
        app.call_metrics.record(replace(record, provider=canary))
        hay.add("metrics", app.call_metrics.text())
        channel = await app.connections.channel("north", app.tenant("north"), "calls")
        channel.shown = canary
        hay.add("repr of a channel", shown(channel))
        for each in reachable(channel):
            hay.add(f"object {type(each).__qualname__}", shown(each))
        await scene.tried(app.connections.finish_authorization(canary, canary))
        events = await app.connections.events(tenant="north", limit=1000)
        alert = alert_of(replace(events[-1], state="needs_reconnect"))
        assert alert is not None
        await app.alerting._send(alert)
    hay.add("alert", scene.alerts[-1])
    with scene.log.attached():
        logging.getLogger("firnline").debug("renewed with %s", canary)
    hay.add("log", scene.log.lines[-1])

    async def careless(token: str) -> None:
        raise FirnlineError(f"refused {token}")

    await scene.tried(careless(canary))
    await scene.command("connections", "show", "north", canary)  # a name that nobody has
    async with (
        serve(Response(canary, headers={"x-token": canary})) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        await Browser(scene, http).ask("GET", "/")
    (scene.home / canary).touch()
    acts.look_at_files(scene, "named")
    (scene.home / canary).unlink()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, canary),
        env={**os.environ, "CARELESS": canary},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    await process.stdout.readline()
    acts.look_at_processes(scene, process.pid)
    await process.communicate(b"")
