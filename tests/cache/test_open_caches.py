"""Many tenants, few open files: the least used rest, those in use never do."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from firnline.cache.bookkeeping import Checkpoint
from firnline.cache.database import TenantDatabase
from firnline.cache.open_caches import OpenCaches
from firnline.cache.opening import CacheCorruptError, CacheError, NoDataYetError
from firnline.catalog.model import FieldInfo, ObjectInfo
from firnline.clock import FixedClock

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DEAL = ObjectInfo(
    name="Deal",
    key="Id",
    fields=(FieldInfo(name="Id", type="id"), FieldInfo(name="Amount", type="long")),
)
SELECT = 'SELECT "Amount" FROM c_crm."Deal"'
TENANTS = [f"t{number:02d}" for number in range(60)]
OPEN_MAX = 8


def write(database: TenantDatabase, amount: int, *, count: int = 5) -> None:
    """Give all deals one amount, and say that they were read in full."""
    rows = pa.table(
        {"Id": [str(n) for n in range(count)], "Amount": pa.array([amount] * count, pa.int64())}
    )
    with database.transaction() as transaction:
        transaction.ensure("crm", DEAL)
        transaction.upsert("crm", DEAL, rows, run=str(amount))
        transaction.save_checkpoint(
            Checkpoint(connection="crm", object="Deal", run=str(amount), completed_at=NOW)
        )


def amounts(database: TenantDatabase) -> set[int]:
    """Return the amounts that one snapshot sees."""
    with database.snapshot() as snapshot:
        return set(snapshot.fetch(SELECT)["Amount"].to_pylist())


def caches_in(folder: Path, clock: FixedClock, *, read_only: bool = False) -> OpenCaches:
    return OpenCaches(
        folder,
        clock=clock,
        open_max=OPEN_MAX,
        idle_s=60,
        memory="100MB",
        threads=1,
        read_only=read_only,
    )


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the cache of every tenant; tests copy it."""
    folder = tmp_path_factory.mktemp("filled")
    first = TenantDatabase.open(folder / f"{TENANTS[0]}.duckdb", threads=1)
    write(first, 0)
    first.close()
    for name in TENANTS[1:]:
        shutil.copy(folder / f"{TENANTS[0]}.duckdb", folder / f"{name}.duckdb")
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "cache"))


@pytest.fixture
async def caches(folder: Path, clock: FixedClock) -> AsyncIterator[OpenCaches]:
    opened = caches_in(folder, clock)
    yield opened
    await opened.close()


async def test_sixty_tenants_asked_in_turn_leave_the_last_eight_open(caches: OpenCaches) -> None:
    for name in TENANTS:
        database = await caches.database(name)
        assert await asyncio.to_thread(amounts, database) == {0}

    assert list(caches.open_tenants()) == TENANTS[-OPEN_MAX:]
    every = [await caches.database(name) for name in TENANTS]
    assert [each.tenant for each in every if each.is_open] == TENANTS[-OPEN_MAX:]


async def test_a_resting_cache_tells_versions_and_freshness_without_opening(
    caches: OpenCaches,
) -> None:
    database = await caches.database("t00")
    await asyncio.to_thread(write, database, 3)
    versions = database.versions()
    assert database.rest()

    assert database.versions() == versions
    assert database.freshness() == {("crm", "Deal"): NOW}
    assert not database.is_open
    assert await asyncio.to_thread(amounts, database) == {3}
    assert database.versions() == versions


async def test_waking_a_file_that_nobody_wrote_is_no_new_generation(caches: OpenCaches) -> None:
    database = await caches.database("t00")
    before = database.generation
    database.rest()
    await asyncio.to_thread(database.wake)

    assert database.is_open
    assert database.generation == before


async def test_a_cache_in_use_is_not_closed_however_many_others_are_asked(
    caches: OpenCaches,
) -> None:
    used = await caches.database("t00")
    with used.snapshot() as snapshot:
        for name in TENANTS[1:30]:
            await asyncio.to_thread(amounts, await caches.database(name))
        assert set(snapshot.fetch(SELECT)["Amount"].to_pylist()) == {0}
        assert used.is_open
        assert not used.rest()
    # Given back, it is the least used of all: room was kept for the others by closing it.
    await asyncio.to_thread(amounts, await caches.database("t31"))
    assert not used.is_open


async def test_a_cache_kept_open_for_a_sync_rests_only_after_it(caches: OpenCaches) -> None:
    synced = await caches.database("t00")
    with synced.kept_open():
        for page in range(1, 4):
            await asyncio.to_thread(write, synced, page)
            for name in TENANTS[1 + 10 * page : 11 + 10 * page]:
                await asyncio.to_thread(amounts, await caches.database(name))
            assert synced.is_open
    for name in TENANTS[1:10]:
        await asyncio.to_thread(amounts, await caches.database(name))

    assert not synced.is_open
    assert await asyncio.to_thread(amounts, synced) == {3}


async def test_more_in_use_than_may_stay_open_are_closed_as_they_are_given_back(
    caches: OpenCaches,
) -> None:
    together = threading.Barrier(2 * OPEN_MAX, timeout=30)

    def read_beside_others(database: TenantDatabase) -> set[int]:
        with database.snapshot() as snapshot:
            together.wait()
            return set(snapshot.fetch(SELECT)["Amount"].to_pylist())

    databases = [await caches.database(name) for name in TENANTS[: 2 * OPEN_MAX]]
    readers = [threading.Thread(target=read_beside_others, args=[each]) for each in databases]
    for reader in readers:
        reader.start()
    for reader in readers:
        await asyncio.to_thread(reader.join)

    assert len(caches.open_tenants()) == OPEN_MAX


async def test_idle_caches_are_closed_and_used_ones_are_not(
    caches: OpenCaches, clock: FixedClock
) -> None:
    for name in TENANTS[:3]:
        await asyncio.to_thread(amounts, await caches.database(name))
    await clock.sleep(40)
    await asyncio.to_thread(amounts, await caches.database("t01"))
    await clock.sleep(40)
    await asyncio.to_thread(caches.rest_idle)

    assert list(caches.open_tenants()) == ["t01"]


async def test_hundreds_of_interleaved_requests_and_syncs_never_meet_a_closed_file(
    caches: OpenCaches,
) -> None:
    """Every read sees one whole version, no newer than the last write; no version steps back."""
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    written = dict.fromkeys(TENANTS, 0)
    writing = {name: asyncio.Lock() for name in TENANTS}
    lanes = asyncio.Semaphore(12)

    async def read(name: str) -> None:
        async with lanes:
            database = await caches.database(name)
            least, found = written[name], await asyncio.to_thread(amounts, database)
            assert len(found) == 1, f"a mixture of versions, seed {seed}"
            assert found >= {least} or min(found) > least, f"an old version, seed {seed}"

    async def sync(name: str) -> None:
        async with lanes, writing[name]:
            database = await caches.database(name)
            with database.kept_open():
                for _ in range(2):
                    amount = written[name] + 1
                    await asyncio.to_thread(write, database, amount)
                    written[name] = amount
                    assert database.is_open

    async with asyncio.TaskGroup() as group:
        for turn in range(400):
            work = sync if turn % 10 == 0 else read
            group.create_task(work(draw.choice(TENANTS)))

    assert len(caches.open_tenants()) <= OPEN_MAX
    for name in TENANTS[:5]:
        assert await asyncio.to_thread(amounts, await caches.database(name)) == {written[name]}


async def test_asking_for_one_tenant_at_once_opens_its_file_once(caches: OpenCaches) -> None:
    found = await asyncio.gather(*(caches.database("t07") for _ in range(20)))

    assert len({id(database) for database in found}) == 1


async def test_an_asker_that_gives_up_does_not_take_the_opening_from_others(
    caches: OpenCaches,
) -> None:
    impatient = asyncio.create_task(caches.database("t07"))
    await asyncio.sleep(0)
    patient = asyncio.create_task(caches.database("t07"))
    await asyncio.sleep(0)
    impatient.cancel()

    assert await asyncio.to_thread(amounts, await patient) == {0}


async def test_what_another_process_wrote_while_a_cache_rested_is_seen(
    folder: Path, clock: FixedClock
) -> None:
    reading = caches_in(folder, clock, read_only=True)
    database = await reading.database("t00")
    versions, generation = database.versions(), database.generation
    database.rest()
    # Another instance on the same file is what another process would have.
    writer = TenantDatabase.open(folder / "t00.duckdb", threads=1)
    write(writer, 9)
    writer.close()

    again = await reading.database("t00")

    assert again is database
    assert again.versions() != versions
    assert again.generation > generation
    assert await asyncio.to_thread(amounts, again) == {9}
    await reading.close()


async def test_a_tenant_that_was_never_synced_is_told_apart_every_time(
    folder: Path, clock: FixedClock
) -> None:
    reading = caches_in(folder, clock, read_only=True)
    for _ in range(2):
        with pytest.raises(NoDataYetError):
            await reading.database("nobody")
    await reading.close()


async def test_a_file_made_anew_after_damage_never_repeats_a_version(
    caches: OpenCaches, folder: Path
) -> None:
    database = await caches.database("t00")
    await asyncio.to_thread(write, database, 1)
    versions = set(database.versions().values())
    database.rest()
    (folder / "t00.duckdb").write_bytes(b"not a database" * 1000)

    with pytest.raises(CacheCorruptError):
        await caches.database("t00")
    again = await caches.database("t00")
    assert again.versions() == {}
    await asyncio.to_thread(write, again, 1)
    assert not versions & set(again.versions().values())


async def test_after_closing_nothing_is_opened_again(caches: OpenCaches) -> None:
    database = await caches.database("t00")
    await caches.close()

    with pytest.raises(CacheError, match="is closed"):
        database.wake()
    assert not database.is_open
    assert database.rest()
