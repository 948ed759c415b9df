"""A crash anywhere in a sync: the next sync makes the cache equal to the provider."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest
from tests.sync.fake_provider import FakeConnector, FakeProvider, both, tenant_file

from firnline.cache.database import TenantDatabase
from firnline.cache.store import CacheTransaction
from firnline.clock import FixedClock
from firnline.connectors.protocol import Page, ReadQuery, Request, Response
from firnline.spec.model import SyncSpec
from firnline.sync.run import Source, sync_tenant


class CrashPoint(StrEnum):
    BEFORE_SEND = "before_send"
    AFTER_ANSWER = "after_answer"
    AFTER_PARSE = "after_parse"
    BEFORE_TRANSACTION = "before_transaction"
    AFTER_BEGIN = "after_begin"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"


class Crash(BaseException):
    """The process is gone; nothing in the product catches this."""


class Crasher:
    """Counts the visits to each point and crashes at one of them."""

    def __init__(self, point: CrashPoint | None = None, visit: int = 0) -> None:
        self._target = (point, visit)
        self.visits: Counter[CrashPoint] = Counter()
        self.crashed = False

    def pass_by(self, point: CrashPoint) -> None:
        self.visits[point] += 1
        if (point, self.visits[point]) == self._target:
            self.crashed = True
            raise Crash(point)


class CrashingChannel:
    def __init__(self, provider: FakeProvider, crasher: Crasher) -> None:
        self._provider, self._crasher = provider, crasher

    async def send(self, request: Request) -> Response:
        self._crasher.pass_by(CrashPoint.BEFORE_SEND)
        answer = await self._provider.send(request)
        self._crasher.pass_by(CrashPoint.AFTER_ANSWER)
        return answer


class CrashingConnector(FakeConnector):
    def __init__(self, provider: FakeProvider, crasher: Crasher) -> None:
        super().__init__(provider)
        self._crasher = crasher

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        page = super().parse_page(query, response)
        self._crasher.pass_by(CrashPoint.AFTER_PARSE)
        return page


class CrashingDatabase(TenantDatabase):
    crasher = Crasher()

    @contextmanager
    def transaction(self) -> Iterator[CacheTransaction]:
        self.crasher.pass_by(CrashPoint.BEFORE_TRANSACTION)
        with super().transaction() as transaction:
            self.crasher.pass_by(CrashPoint.AFTER_BEGIN)
            yield transaction
            self.crasher.pass_by(CrashPoint.BEFORE_COMMIT)
        self.crasher.pass_by(CrashPoint.AFTER_COMMIT)


async def run_once(path: Path, provider: FakeProvider, crasher: Crasher) -> None:
    """Start a "process": open the file, sync, close; a crash ends it early."""
    database = CrashingDatabase.open(path)
    database.crasher = crasher
    try:
        source = Source(
            "crm",
            CrashingConnector(provider, crasher),
            CrashingChannel(provider, crasher),
            provider.catalog,
        )
        clock = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))
        report = await sync_tenant(
            "acme", SyncSpec(), sources=[source], database=database, clock=clock
        )
        assert report.ok
    except BaseExceptionGroup as ended:
        assert ended.subgroup(Crash), ended
    finally:
        database.close()


def changed_provider() -> FakeProvider:
    provider = FakeProvider()
    provider.fill("tickets", 27)
    provider.fill("shares", 12)
    return provider


def change(provider: FakeProvider) -> None:
    for number in range(15):
        provider.put("tickets", f"{number:04d}", subject="changed")
    provider.remove("tickets", "0026")
    provider.remove("shares", "0003")
    provider.fill("shares", 3, first=50)


def is_equal(path: Path, provider: FakeProvider) -> bool:
    database = TenantDatabase.open(path)
    try:
        return all(held == wanted for held, wanted in both(database, provider))
    finally:
        database.close()


@pytest.mark.parametrize("point", CrashPoint, ids=str)
async def test_crash_during_a_backfill_never_skips_a_record(
    tmp_path: Path, point: CrashPoint
) -> None:
    """Crash at each visit of `point` in turn, restart, finish: the cache equals the provider."""
    visit = 0
    while True:
        visit += 1
        path = tenant_file(tmp_path / str(visit))
        provider = changed_provider()
        crasher = Crasher(point, visit)
        await run_once(path, provider, crasher)
        if not crasher.crashed:
            assert crasher.visits[point] == visit - 1
            break
        await run_once(path, provider, Crasher())
        assert is_equal(path, provider), f"after a crash at {point}, visit {visit}"
    assert visit > 5, "every page passes by"


@pytest.mark.parametrize("point", CrashPoint, ids=str)
async def test_crash_during_an_incremental_sync_never_skips_a_change(
    tmp_path: Path, point: CrashPoint
) -> None:
    visit = 0
    while True:
        visit += 1
        path = tenant_file(tmp_path / str(visit))
        provider = changed_provider()
        await run_once(path, provider, Crasher())
        change(provider)
        crasher = Crasher(point, visit)
        await run_once(path, provider, crasher)
        if not crasher.crashed:
            break
        await run_once(path, provider, Crasher())
        assert is_equal(path, provider), f"after a crash at {point}, visit {visit}"
    assert visit > 4


async def test_a_second_crash_and_changes_in_between_change_nothing_of_that(tmp_path: Path) -> None:
    path = tenant_file(tmp_path)
    provider = changed_provider()
    await run_once(path, provider, Crasher(CrashPoint.AFTER_COMMIT, 4))
    change(provider)
    await run_once(path, provider, Crasher(CrashPoint.BEFORE_COMMIT, 3))
    provider.fill("tickets", 12, first=200)

    await run_once(path, provider, Crasher())
    await run_once(path, provider, Crasher())

    assert is_equal(path, provider)


async def test_an_interrupted_backfill_resumes_where_it_was(tmp_path: Path) -> None:
    path = tenant_file(tmp_path)
    provider = changed_provider()
    await run_once(path, provider, Crasher(CrashPoint.AFTER_COMMIT, 6))
    asked = len(provider.requests)

    await run_once(path, provider, Crasher())

    again = [request for request in provider.requests[asked:] if "page" not in request.params]
    assert len(again) < 2, "at most one of the two objects starts from its first page"
