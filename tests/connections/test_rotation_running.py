"""Keys are rotated while tokens are obtained, renewed and used: nobody notices."""

from __future__ import annotations

import httpx2
import pytest
from starlette.requests import Request as HttpRequest
from tests.connections.conftest import Bench

from firnline.clock import FixedClock
from firnline.connections.sealing.rotation import Rotation
from firnline.connections.sealing.vault import Vault
from firnline.connectors.protocol import Request
from firnline.sandbox.signin import CALLBACK, approve
from firnline.state import State


async def rotate_everything(bench: Bench) -> None:
    """Rotate data keys and the master key as another process does."""
    state = await State.open(bench.settings)
    clock = FixedClock(bench.clock.now())
    for master in (False, True):
        vault = await Vault.open(bench.settings, state=state, clock=clock)
        rotation = Rotation(vault, state.sealed, clock=clock)
        done = await (rotation.of_master_key() if master else rotation.of_data_keys())
        assert not done.unreadable
    await state.close()


async def speaker(bench: Bench) -> str:
    channel = await bench.connections.channel("acme", bench.spec, "clips")
    answer = await channel.send(Request.get("/papers"))
    return str(answer.json()["email"])


@pytest.mark.parametrize("times", [1, 3])
async def test_token_renewed_during_a_rotation_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The provider takes a refresh token once: the new one must not give way to the old one."""
    await bench.connect_clips()
    asked = len(bench.clips.token_calls)
    bench.clips.expire_access()
    read = bench.clips._body

    async def slow(request: HttpRequest) -> dict[str, str]:
        """Let the provider take so long that everything is rotated meanwhile."""
        for _ in range(times):
            await rotate_everything(bench)
        return await read(request)

    with monkeypatch.context() as patch:
        patch.setattr(bench.clips, "_body", slow)
        assert await speaker(bench) == "ann@north.test"

    await rotate_everything(bench)
    bench.clips.expire_access()
    assert await speaker(bench) == "ann@north.test"
    assert len(bench.clips.token_calls) == asked + 2
    assert (await bench.row()).state == "active"


async def test_sign_in_that_began_before_a_rotation_is_finished_after_it(bench: Bench) -> None:
    start = await bench.connections.start_authorization(bench.spec, "clips", redirect_uri=CALLBACK)
    await rotate_everything(bench)
    async with httpx2.AsyncClient() as http:
        routes = bench.connections.transport.routes
        code, state = await approve(http, start.url, "ann@north.test", routes=routes)

    row = await bench.connections.finish_authorization(state, code)

    assert row.state == "active"
    await rotate_everything(bench)
    assert await speaker(bench) == "ann@north.test"
