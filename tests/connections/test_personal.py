"""A person's own connection beside the organisation's: each has its own token, life and end."""

from __future__ import annotations

import httpx2
import pytest
from tests.connections.conftest import Bench

from firnline.connections import NeedsReconnectError, NotConnectedError
from firnline.connections.sealing.vault import Vault, VaultKeyInvalidError
from firnline.connectors.protocol import Request
from firnline.sandbox.signin import CALLBACK, approve
from firnline.state import ConnectionRow

BOB = "bob@north.test"


async def connect_bob(bench: Bench, *, signs_in: str = BOB, person: str = BOB) -> ConnectionRow:
    """Go through the whole browser flow for one person."""
    start = await bench.connections.start_authorization(
        bench.spec, "clips", redirect_uri=CALLBACK, person=person
    )
    async with httpx2.AsyncClient() as http:
        routes = bench.connections.transport.routes
        code, state = await approve(http, start.url, signs_in, routes=routes)
    return await bench.connections.finish_authorization(state, code)


async def speaker(bench: Bench, person: str = "", name: str = "clips") -> str:
    """Return as whom the provider knows the caller on a connection."""
    channel = await bench.connections.channel("acme", bench.spec, name, person=person)
    answer = await channel.send(Request.get("/papers"))
    return str(answer.json()["email"])


async def test_person_s_connection_stands_beside_the_organisation_s(bench: Bench) -> None:
    await bench.connect_clips("ann@north.test")
    row = await connect_bob(bench)

    assert (row.person, row.user_key, row.state) == (BOB, BOB, "active")
    assert await speaker(bench) == "ann@north.test"
    assert await speaker(bench, BOB) == BOB
    assert [each.person for each in await bench.connections.state.connections("acme")] == [""]
    own = await bench.connections.state.personal_connections("acme")
    assert [(each.name, each.person) for each in own] == [("clips", BOB)]


async def test_person_without_a_connection_never_speaks_as_the_organisation(bench: Bench) -> None:
    await bench.connect_clips("ann@north.test")
    with pytest.raises(NotConnectedError) as refused:
        await bench.connections.channel("acme", bench.spec, "clips", person=BOB)
    assert refused.value.hint.endswith(f"firnline connect acme clips --person {BOB}")


async def test_address_is_found_in_whatever_ascii_case(bench: Bench) -> None:
    row = await connect_bob(bench, person=" BOB@North.test ")
    assert row.person == BOB
    assert await speaker(bench, "Bob@north.TEST") == BOB


async def test_expired_token_of_a_person_is_renewed_without_touching_the_organisation(
    bench: Bench,
) -> None:
    await bench.connect_clips("ann@north.test")
    await connect_bob(bench)
    before = await bench.row()
    bench.clips.expire_access()

    assert await speaker(bench, BOB) == BOB

    assert await bench.row() == before
    assert await speaker(bench) == "ann@north.test"


async def test_revoked_token_of_a_person_ends_that_person_s_connection_alone(bench: Bench) -> None:
    await connect_bob(bench)
    bench.clips.revoke_all()
    await bench.connect_clips("ann@north.test")

    with pytest.raises(NeedsReconnectError) as refused:
        await speaker(bench, BOB)

    assert f"--person {BOB}" in refused.value.hint
    own = await bench.connections.state.connection("acme", "clips", BOB)
    assert own is not None
    assert own.state == "needs_reconnect"
    assert await speaker(bench) == "ann@north.test"


async def test_sealed_token_opens_for_its_person_alone(bench: Bench) -> None:
    """Copied to another row of the database it opens nothing."""
    await connect_bob(bench)
    await connect_bob(bench, signs_in="ann@north.test", person="ann@north.test")
    state = bench.connections.state
    bob = await state.connection("acme", "clips", BOB)
    assert bob is not None and bob.token_ciphertext is not None
    vault = await Vault.open(bench.settings, state=state)
    for holder in ("clips", "clips ann@north.test", ""):
        with pytest.raises(VaultKeyInvalidError):
            await vault.unseal(
                bob.token_ciphertext, purpose="token", tenant="acme", connection=holder
            )


async def test_assertion_for_a_person_is_signed_with_the_key_mapped_to_them(bench: Bench) -> None:
    row = await bench.connections.connect(bench.spec, "staples", person=BOB)
    assert (row.person, row.user_key) == (BOB, BOB)
    bench.staples.expire_access()
    assert await speaker(bench, BOB, "staples") == BOB


async def test_forgotten_connection_of_a_person_leaves_the_organisation_s(bench: Bench) -> None:
    await bench.connect_clips("ann@north.test")
    await connect_bob(bench)
    state = bench.connections.state
    assert await state.delete_connection("acme", "clips", BOB)
    assert not await state.delete_connection("acme", "clips", BOB)
    assert await speaker(bench) == "ann@north.test"
