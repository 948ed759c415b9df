"""Keys that issuers publish: read over real HTTP before they are old, kept while they cannot be."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from tests.web.issuer import IssuerServer, publishing

from firnline.access.issuers import Issuer, IssuerKeys
from firnline.clock import FixedClock, SystemClock
from firnline.transport import Transport
from firnline.transport.published import DOCUMENT_BYTES_MAX, read_published
from firnline.web.key_sources import (
    ASK_AGAIN_S,
    FILE_EVERY_S,
    FRESH_MAX_S,
    FRESH_MIN_S,
    FRESH_S,
    KEPT_S,
    RETRY_MAX_S,
    WAITING_MAX,
    KeySources,
)

ADDRESS = "https://id.acme.example/keys"
START = datetime(2026, 11, 23, tzinfo=UTC)


class World:
    """One issuer, its server, and what is known of its keys; time stands still unless moved."""

    def __init__(self, server: IssuerServer, transport: Transport) -> None:
        self.server = server
        self.clock = FixedClock(START)
        self.keys = IssuerKeys(
            Issuer(server.name, "firnline", jwks_url=ADDRESS), ends_s=float("-inf")
        )
        fetch = partial(read_published, transport=transport)
        self.sources = KeySources([self.keys], fetch=fetch, clock=self.clock)
        (self.source,) = self.sources._sources.values()

    def knows(self, kid: str) -> bool:
        return self.keys.find(kid, now_s=self.clock.now().timestamp()) is not None


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with publishing("https://id.acme.example") as issuer:
        yield issuer


@pytest.fixture
async def world(server: IssuerServer) -> AsyncIterator[World]:
    routes = {"https://id.acme.example": server.url}
    async with Transport(routes=routes, clock=SystemClock()) as transport:
        yield World(server, transport)


async def test_keys_are_read_and_read_again_before_they_are_old(world: World) -> None:
    rest_s = await world.source.read()
    assert world.knows("k1")
    assert rest_s == pytest.approx(0.8 * FRESH_S)
    assert world.server.asked == ["/keys"]


@pytest.mark.parametrize(
    ("header", "fresh_s"),
    [
        ("public, max-age=900", 900),
        ("max-age=1", FRESH_MIN_S),
        ("no-store", FRESH_MIN_S),
        ("max-age=900, no-cache", FRESH_MIN_S),
        ("max-age=999999999", FRESH_MAX_S),
        ("max-age=99999999999999999999", FRESH_MAX_S),
        ("max-age=soon", FRESH_S),
    ],
)
async def test_own_word_of_the_issuer_on_freshness_holds_within_bounds(
    world: World, header: str, fresh_s: float
) -> None:
    world.server.headers = {"cache-control": header}
    assert await world.source.read() == pytest.approx(0.8 * fresh_s)


async def test_age_of_an_answer_counts(world: World) -> None:
    world.server.headers = {"cache-control": "max-age=900", "age": "600"}
    assert await world.source.read() == pytest.approx(0.8 * 300)


async def test_rotation_is_taken_up_and_a_withdrawn_key_ends(world: World) -> None:
    await world.source.read()
    world.server.keys = {"k2": ECKey.generate_key("P-256")}
    await world.source.read()
    assert world.knows("k2")
    assert not world.knows("k1")


async def test_new_key_is_found_when_it_is_met_first(world: World) -> None:
    await world.source.read()
    world.server.keys["k2"] = ECKey.generate_key("P-256")
    await world.sources.look_again(world.server.name)
    assert world.knows("k1") and world.knows("k2")


async def test_flood_of_unknown_keys_asks_once_a_minute(world: World) -> None:
    await world.source.read()
    for _ in range(50):
        await world.sources.look_again(world.server.name)
    await asyncio.gather(*(world.sources.look_again(world.server.name) for _ in range(50)))
    assert len(world.server.asked) == 2
    await world.clock.sleep(ASK_AGAIN_S - 1)
    await world.sources.look_again(world.server.name)
    assert len(world.server.asked) == 2
    await world.clock.sleep(1)
    await world.sources.look_again(world.server.name)
    assert len(world.server.asked) == 3


async def test_many_that_meet_an_unknown_key_at_once_share_one_question(world: World) -> None:
    world.server.delay_s = 0.05
    await asyncio.gather(*(world.sources.look_again(world.server.name) for _ in range(50)))
    assert len(world.server.asked) == 1
    assert world.knows("k1")


async def test_few_wait_for_an_issuer_that_takes_its_time(world: World) -> None:
    """Whoever sends made-up ids while it is asked is refused at once, beyond a few."""
    world.server.delay_s = 2
    flood = [asyncio.ensure_future(world.sources.look_again(world.server.name)) for _ in range(500)]
    done, waiting = await asyncio.wait(flood, timeout=0.1)
    assert len(waiting) == WAITING_MAX
    assert len(done) == 500 - WAITING_MAX
    await asyncio.gather(*flood)
    assert len(world.server.asked) == 1
    assert world.knows("k1")


async def test_flood_while_the_issuer_fails_asks_once_a_minute_all_the_same(world: World) -> None:
    world.server.status = 503
    for _ in range(20):
        await world.sources.look_again(world.server.name)
    assert len(world.server.asked) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 500},
        {"status": 404},
        {"status": 302, "headers": {"location": "https://evil.example/keys"}},
        {"content": b"<html>maintenance</html>"},
        {"content": b"{}"},
        {"content": b"[]"},
        {"content": b'{"keys": []' + b" " * DOCUMENT_BYTES_MAX + b"}"},
        {"content": json.dumps({"keys": [{}] * 101}).encode()},
    ],
)
async def test_failing_issuer_leaves_its_keys_in_place_until_their_stated_end(
    world: World, wrong: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    await world.source.read()
    vars(world.server).update(wrong)
    with caplog.at_level(logging.WARNING, "firnline.keys"):
        rests_s = [await world.source.read() for _ in range(8)]
    assert rests_s == [2, 4, 8, 16, 32, RETRY_MAX_S, RETRY_MAX_S, RETRY_MAX_S]
    assert world.server.name in caplog.text
    assert world.knows("k1")
    await world.clock.sleep(KEPT_S - 1)
    assert world.knows("k1")
    await world.clock.sleep(1)
    assert not world.knows("k1"), "beyond its end nothing is accepted"


async def test_issuer_that_is_back_counts_again(world: World) -> None:
    world.server.status = 500
    assert await world.source.read() == 2
    world.server.status = 200
    assert await world.source.read() == pytest.approx(0.8 * FRESH_S)
    assert world.knows("k1")
    world.server.status = 500
    assert await world.source.read() == 2, "failures are counted from the last success"


async def test_empty_set_ends_every_key_at_once(world: World) -> None:
    await world.source.read()
    world.server.keys = {}
    await world.source.read()
    assert not world.knows("k1")


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/keys",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/keys",
        "https://2852039166/keys",
        "https://[::ffff:10.0.0.1]/keys",
    ],
)
async def test_address_inside_a_network_is_refused_without_a_route(address: str) -> None:
    keys = IssuerKeys(Issuer("https://a.example", "firnline", jwks_url=address))
    async with Transport(routes={}, clock=SystemClock()) as transport:
        fetch = partial(read_published, transport=transport)
        (source,) = KeySources([keys], fetch=fetch, clock=FixedClock(START))._sources.values()
        assert await source.read() == 2


async def test_name_that_leads_inside_a_network_is_refused() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["10.0.0.7"]

    keys = IssuerKeys(Issuer("a", "firnline", jwks_url=ADDRESS))
    async with Transport(routes={}, clock=SystemClock(), resolver=inside) as transport:
        fetch = partial(read_published, transport=transport)
        (source,) = KeySources([keys], fetch=fetch, clock=FixedClock(START))._sources.values()
        assert await source.read() == 2


async def test_sources_are_kept_fresh_until_cancelled(world: World) -> None:
    """The clock of this test does not wait: several rounds come one after the other."""
    watching = asyncio.create_task(world.sources.keep_fresh())
    while len(world.server.asked) < 3:  # noqa: ASYNC110 - another thread counts
        await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])
    assert watching.cancelled()
    assert world.knows("k1")


async def test_failure_that_nobody_foresaw_ends_no_other_watch(
    server: IssuerServer, caplog: pytest.LogCaptureFixture
) -> None:
    read: list[str] = []

    async def fetch(url: str) -> object:
        read.append(url)
        raise RuntimeError("unforeseen")

    issuers = [
        IssuerKeys(Issuer(name, "firnline", jwks_url=f"https://{name}.example/keys"))
        for name in "ab"
    ]
    sources = KeySources(issuers, fetch=fetch, clock=FixedClock(START))  # type: ignore[arg-type]
    watching = asyncio.create_task(sources.keep_fresh())
    while min(read.count(f"https://{name}.example/keys") for name in "ab") < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait([watching])
    assert "unforeseen" in caplog.text


async def test_issuer_without_a_source_is_not_looked_for(world: World) -> None:
    await world.sources.look_again("https://nobody.example")
    assert not world.server.asked


class Filed:
    """An issuer whose keys are in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FixedClock(START)
        self.keys = IssuerKeys(Issuer("a", "firnline", jwks_file=path), ends_s=float("-inf"))

        async def never(url: str) -> object:
            raise AssertionError(url)

        self.sources = KeySources([self.keys], fetch=never, clock=self.clock)  # type: ignore[arg-type]
        (self.source,) = self.sources._sources.values()

    def write(self, *kids: str) -> None:
        jwks = [{**ECKey.generate_key("P-256").as_dict(private=False), "kid": kid} for kid in kids]
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps({"keys": jwks}))
        draft.replace(self.path)

    def knows(self, kid: str) -> bool:
        return self.keys.find(kid, now_s=self.clock.now().timestamp()) is not None


async def test_key_file_is_read_and_read_again_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Filed(tmp_path / "keys.json")
    world.write("k1")
    assert await world.source.read() == FILE_EVERY_S
    assert world.knows("k1")
    first = world.keys.find("k1", now_s=0)

    await world.source.read()
    assert world.keys.find("k1", now_s=0) is first

    world.write("k2")
    await world.source.read()
    assert world.knows("k2") and not world.knows("k1")


async def test_unknown_key_looks_at_the_file_once_a_second(tmp_path: Path) -> None:
    world = Filed(tmp_path / "keys.json")
    world.write("k1")
    await world.sources.look_again("a")
    assert world.knows("k1")
    world.write("k2")
    await world.sources.look_again("a")
    assert not world.knows("k2"), "a moment ago it was looked at"
    await world.clock.sleep(FILE_EVERY_S)
    await world.sources.look_again("a")
    assert world.knows("k2")


@pytest.mark.parametrize("content", [b"", b"{", b'{"keys": 7}', b" " * 300_000, None])
async def test_file_that_cannot_be_used_leaves_the_keys_until_their_end_and_is_told_once(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    world = Filed(tmp_path / "keys.json")
    world.write("k1")
    await world.source.read()
    if content is None:
        world.path.unlink()
    else:
        world.path.write_bytes(content)
    for _ in range(3):
        await world.source.read()
    assert len([each for each in caplog.records if each.name == "firnline.keys"]) == 1
    assert world.knows("k1")
    await world.clock.sleep(KEPT_S)
    assert not world.knows("k1")
    world.write("k3")
    await world.source.read()
    assert world.knows("k3")


async def test_file_that_stays_as_it_is_has_no_end(tmp_path: Path) -> None:
    world = Filed(tmp_path / "keys.json")
    world.write("k1")
    for _ in range(3):
        await world.source.read()
        await world.clock.sleep(KEPT_S - 1)
        assert world.knows("k1")


async def test_look_at_the_file_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    """At the start the first token may come while the file is being read for the first time."""
    world = Filed(tmp_path / "keys.json")
    world.write("k1")
    first = asyncio.ensure_future(world.source.read())
    await asyncio.sleep(0)
    await world.sources.look_again("a")
    assert world.knows("k1")
    await first
