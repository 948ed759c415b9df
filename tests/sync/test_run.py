"""Sync: the cache ends up equal to the provider, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.sync.fake_provider import (
    SHARES,
    TICKETS,
    FakeConnector,
    FakeProvider,
    both,
    cached,
    expected,
    refusal,
    tenant_file,
)

from firnline.cache.database import TenantDatabase
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.clock import FixedClock
from firnline.connectors.protocol import Grounds, Request, Response
from firnline.errors import FirnlineError
from firnline.spec.model import SyncSpec
from firnline.sync.report import ObjectReport, SyncProgress, SyncReport
from firnline.sync.run import Source, UnknownObjectError, sync_tenant

START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[TenantDatabase]:
    opened = TenantDatabase.open(tenant_file(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def provider() -> FakeProvider:
    made = FakeProvider()
    made.fill("tickets", 57)
    made.fill("shares", 23)
    return made


async def sync(
    provider: FakeProvider,
    database: TenantDatabase,
    *,
    channel: Any = None,
    limits: dict[str, int] | None = None,
    **options: Any,
) -> SyncReport:
    connector = FakeConnector(provider, **(limits or {}))
    source = Source("crm", connector, channel or provider, provider.catalog)
    clock = options.pop("clock", FixedClock(START))
    return await sync_tenant(
        "acme", SyncSpec(), sources=[source], database=database, clock=clock, **options
    )


def report_of(report: SyncReport, name: str) -> ObjectReport:
    return next(one for one in report.objects if one.object == name)


async def test_backfill_makes_the_cache_equal_to_the_provider(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    report = await sync(provider, database)

    assert report.ok
    assert [held == wanted for held, wanted in both(database, provider)] == [True, True]
    assert report_of(report, "tickets").rows == 57
    assert report_of(report, "tickets").pages == 6


async def test_incremental_sync_reads_only_what_changed_since(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    await sync(provider, database)
    provider.fill("tickets", 30, first=57)
    provider.put("tickets", "0003", subject="changed")

    report = await sync(provider, database)

    assert cached(database, TICKETS) == expected(provider, TICKETS)
    assert not report_of(report, "tickets").is_full
    assert 31 <= report_of(report, "tickets").rows < 60


async def test_records_of_one_stamp_across_a_page_edge_all_arrive(
    database: TenantDatabase,
) -> None:
    provider = FakeProvider(TICKETS)
    for number in range(95):
        provider.records["tickets"][f"{number:03d}"] = {"id": f"{number:03d}", "updated": 7}

    await sync(provider, database)
    provider.records["tickets"]["999"] = {"id": "999", "updated": 7}  # late, with the same stamp
    await sync(provider, database)

    assert cached(database, TICKETS) == expected(provider, TICKETS)


async def test_deleted_records_leave_the_cache_with_the_next_sync(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    await sync(provider, database)
    provider.remove("tickets", "0010")
    provider.remove("shares", "0002")

    report = await sync(provider, database)

    assert [held == wanted for held, wanted in both(database, provider)] == [True, True]
    assert report_of(report, "tickets").deletes == 1
    assert report_of(report, "shares").deletes == 1


class ChangingChannel:
    """Changes the provider while it is being read: after each of the first answers."""

    def __init__(self, provider: FakeProvider) -> None:
        self._provider = provider
        self._left = 5

    async def send(self, request: Request) -> Response:
        answer = await self._provider.send(request)
        if self._left and request.path == "/list/tickets":
            self._left -= 1
            step = 5 - self._left
            self._provider.put("tickets", f"{step:04d}", subject=f"changed {step}")
            self._provider.put("tickets", f"new{step}", subject="made during the backfill")
            self._provider.remove("tickets", f"{step + 20:04d}")
            self._provider.remove("tickets", f"{step + 5:04d}")
        return answer


async def test_changes_during_a_backfill_are_there_after_the_next_sync(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    await sync(provider, database, channel=ChangingChannel(provider))

    await sync(provider, database)

    assert cached(database, TICKETS) == expected(provider, TICKETS)


async def test_changes_during_an_incremental_sync_are_there_after_the_next(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    await sync(provider, database)
    for number in range(57):
        provider.put("tickets", f"{number:04d}", subject="touched")
    await sync(provider, database, channel=ChangingChannel(provider))

    await sync(provider, database)

    assert cached(database, TICKETS) == expected(provider, TICKETS)


async def test_a_record_deleted_and_brought_back_stays(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    await sync(provider, database)
    provider.remove("tickets", "0010")
    provider.put("tickets", "0010", subject="restored")

    await sync(provider, database)
    await sync(provider, database)

    assert cached(database, TICKETS) == expected(provider, TICKETS)


@pytest.mark.parametrize("grounds", [Grounds.CURSOR_GONE, Grounds.INVALID])
async def test_an_expired_page_token_restarts_the_run_from_its_checkpoint(
    provider: FakeProvider, database: TenantDatabase, grounds: Grounds
) -> None:
    class Expiring:
        spent = False

        async def send(self, request: Request) -> Response:
            if "page" in request.params and request.path == "/list/tickets" and not self.spent:
                self.spent = True
                return refusal(grounds)
            return await provider.send(request)

    report = await sync(provider, database, channel=Expiring())

    assert report.ok
    assert cached(database, TICKETS) == expected(provider, TICKETS)


async def test_a_field_that_is_gone_ends_the_run_and_leaves_its_checkpoint(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    """Reading from the checkpoint again would meet the same missing field."""
    asked: list[Request] = []

    class Drifted:
        async def send(self, request: Request) -> Response:
            if "page" in request.params and request.path == "/list/tickets":
                asked.append(request)
                return refusal(Grounds.SCHEMA_DRIFT)
            return await provider.send(request)

    report = await sync(provider, database, channel=Drifted())

    assert [one.object for one in report.failed] == ["tickets"]
    assert len(asked) == 1


async def test_a_failing_object_does_not_stop_the_others(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    class Refusing:
        async def send(self, request: Request) -> Response:
            if request.path == "/list/tickets":
                return refusal(Grounds.FORBIDDEN)
            return await provider.send(request)

    report = await sync(provider, database, channel=Refusing())

    assert [one.object for one in report.failed] == ["tickets"]
    assert report.failed[0].trouble is not None
    assert report.failed[0].trouble.code == "read_refused"
    assert report.failed[0].trouble.hint
    assert cached(database, SHARES) == expected(provider, SHARES)


class QuotaFullError(FirnlineError):
    def __init__(self, code: str, retry_after_s: float) -> None:
        super().__init__("its quota has no room")
        self.code = code  # type: ignore[misc]
        self.retry_after_s = retry_after_s


class FullChannel:
    """Has no room in its quota for the first few requests."""

    def __init__(self, provider: FakeProvider, *waits_s: float, code: str = "quota_wait") -> None:
        self._provider = provider
        self._waits_s = list(waits_s)
        self._code = code

    async def send(self, request: Request) -> Response:
        if self._waits_s:
            raise QuotaFullError(self._code, self._waits_s.pop(0))
        return await self._provider.send(request)


@pytest.mark.parametrize("code", ["quota_wait", "quota_reserved"])
async def test_a_full_quota_pauses_the_run_and_does_not_end_it(
    provider: FakeProvider, database: TenantDatabase, code: str
) -> None:
    clock = FixedClock(START)
    channel = FullChannel(provider, 40.0, 20.0, code=code)

    report = await sync(provider, database, channel=channel, clock=clock)

    assert not any(one.trouble for one in report.objects)
    assert clock.monotonic() >= 40
    for cached_rows, provider_rows in both(database, provider):
        assert cached_rows == provider_rows


async def test_a_quota_that_is_full_for_hours_ends_the_run(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    channel = FullChannel(provider, 40_000.0, code="quota_reserved")

    report = await sync(provider, database, channel=channel)

    (failed,) = [one for one in report.objects if one.trouble]
    assert failed.trouble is not None
    assert failed.trouble.code == "quota_reserved"


async def test_a_list_of_deletions_that_fails_is_read_whole_next_time(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    await sync(provider, database)
    provider.remove("tickets", "0010")

    class Refusing:
        async def send(self, request: Request) -> Response:
            if request.path == "/gone/tickets":
                return refusal(Grounds.FORBIDDEN)
            return await provider.send(request)

    provider.fill("tickets", 40, first=100)
    failed = await sync(provider, database, channel=Refusing())
    assert [one.object for one in failed.failed] == ["tickets"]
    assert "0139" in cached(database, TICKETS), "the records are read all the same"

    assert (await sync(provider, database)).ok
    assert cached(database, TICKETS) == expected(provider, TICKETS)


async def test_an_unreadable_page_is_a_typed_failure_of_its_object(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    class Garbled:
        async def send(self, request: Request) -> Response:
            if request.path == "/list/tickets":
                return Response(200, {}, b"<html>maintenance</html>")
            return await provider.send(request)

    report = await sync(provider, database, channel=Garbled())

    assert [one.trouble.code for one in report.failed if one.trouble] == ["page_unreadable"]


async def test_a_page_token_that_comes_back_ends_the_run(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    class Looping:
        async def send(self, request: Request) -> Response:
            if request.path == "/list/tickets" and "page" in request.params:
                again = {"size": request.params["size"]}
                return await provider.send(Request("GET", request.path, params=again))
            return await provider.send(request)

    report = await sync(provider, database, channel=Looping())

    assert [one.trouble.code for one in report.failed if one.trouble] == ["page_loop"]


async def test_a_run_over_the_page_limit_goes_on_with_the_next_sync(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    first = await sync(provider, database, limits={"pages_max": 4})
    assert [one.trouble.code for one in first.failed if one.trouble] == ["page_limit"]
    assert report_of(first, "tickets").rows == 40

    second = await sync(provider, database, limits={"pages_max": 4})

    assert second.ok
    assert report_of(second, "tickets").resumed
    assert report_of(second, "tickets").rows == 17
    assert cached(database, TICKETS) == expected(provider, TICKETS)


async def test_a_new_field_is_filled_for_records_that_did_not_change(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    await sync(provider, database)
    wider = ObjectInfo(
        name="tickets",
        key="id",
        cursor="updated",
        fields=(*TICKETS.fields, FieldInfo(name="priority", type="string")),
    )
    provider.catalog = Catalog(provider="fake", objects=(wider, SHARES))
    for record in provider.records["tickets"].values():
        record["priority"] = "high"

    report = await sync(provider, database)

    assert report_of(report, "tickets").change.added == ("priority",)
    assert report_of(report, "tickets").is_full
    assert cached(database, wider) == expected(provider, wider)


async def test_a_retyped_field_is_read_again(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    for number, record in enumerate(provider.records["tickets"].values()):
        record["subject"] = str(number)
    await sync(provider, database)
    retyped = ObjectInfo(
        name="tickets",
        key="id",
        cursor="updated",
        fields=(TICKETS.fields[0], FieldInfo(name="subject", type="int"), TICKETS.fields[2]),
    )
    provider.catalog = Catalog(provider="fake", objects=(retyped, SHARES))

    report = await sync(provider, database)

    assert report_of(report, "tickets").change.emptied == ("subject",)
    assert {row["subject"] for row in cached(database, retyped).values()} == set(range(57))


async def test_a_suspiciously_short_listing_deletes_nothing_until_confirmed(
    database: TenantDatabase,
) -> None:
    listed = SHARES.model_copy(update={"exposed": True})
    provider = FakeProvider(listed)
    provider.fill("shares", 120)
    await sync(provider, database)
    fresh_at = database.freshness()[("crm", "shares")]
    gone = list(provider.records["shares"])[10:]
    for key in gone:
        provider.remove("shares", key)

    later = FixedClock(datetime(2026, 11, 2, tzinfo=UTC))
    held = await sync(provider, database, clock=later)
    assert report_of(held, "shares").held == 110
    assert len(cached(database, listed)) == 120
    assert database.freshness()[("crm", "shares")] == fresh_at, "it is no fresher than before"

    await sync(provider, database, full=True, clock=later)
    assert cached(database, listed) == expected(provider, listed)


async def test_revoked_permission_records_are_swept_however_many_they_are(
    database: TenantDatabase,
) -> None:
    provider = FakeProvider(SHARES)
    provider.fill("shares", 120)
    await sync(provider, database)
    provider.records["shares"].clear()

    await sync(provider, database)

    assert cached(database, SHARES) == {}


async def test_full_sync_reads_everything_and_drops_what_is_gone(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    provider.lists_deletes = False
    await sync(provider, database)
    provider.remove("tickets", "0010")
    await sync(provider, database)
    assert "0010" in cached(database, TICKETS), "this provider does not tell of deletions"

    report = await sync(provider, database, full=True)

    assert report_of(report, "tickets").rows == 56
    assert cached(database, TICKETS) == expected(provider, TICKETS)


async def test_only_the_named_objects_are_synced(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    report = await sync(provider, database, only=["tickets"])

    assert [one.object for one in report.objects] == ["tickets"]
    assert cached(database, SHARES) == {}


async def test_an_unknown_object_name_is_refused_before_anything_is_read(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    with pytest.raises(UnknownObjectError):
        await sync(provider, database, only=["tikets"])

    assert provider.requests == []


async def test_progress_tells_rows_and_ends_with_done(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    told: list[SyncProgress] = []

    await sync(provider, database, on_progress=told.append)

    of_tickets = [one for one in told if one.object == "tickets"]
    assert [one.rows for one in of_tickets] == [0, 10, 20, 30, 40, 50, 57, 57]
    assert [one.done for one in of_tickets] == [False] * 7 + [True]


async def test_freshness_is_when_the_last_complete_run_began(
    provider: FakeProvider, database: TenantDatabase
) -> None:
    class Slow:
        def __init__(self, clock: FixedClock) -> None:
            self._clock = clock

        async def send(self, request: Request) -> Response:
            await self._clock.sleep(60)
            return await provider.send(request)

    clock = FixedClock(START)
    await sync(provider, database, channel=Slow(clock), clock=clock, only=["tickets"])

    assert clock.now() > START
    assert database.freshness() == {("crm", "tickets"): START}


async def test_two_connections_of_one_provider_stay_apart(database: TenantDatabase) -> None:
    first, second = FakeProvider(TICKETS), FakeProvider(TICKETS)
    first.fill("tickets", 12)
    second.fill("tickets", 31, first=5)
    sources = [
        Source(name, FakeConnector(provider), provider, provider.catalog)
        for name, provider in (("crm", first), ("CRM", second))
    ]

    await sync_tenant(
        "acme", SyncSpec(), sources=sources, database=database, clock=FixedClock(START)
    )

    assert database.count("crm", "tickets") == 12
    assert database.count("CRM", "tickets") == 31
