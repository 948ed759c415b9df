"""How old records may be that conditions look at, and what is said of those that are too old."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from tests.graph.world import NOW

from firnline.graph.policy.condition_age import ConditionAges
from firnline.graph.policy.facts import UnboundError

DEALS = ("crm", "deals")


def ages(stamps: Mapping[tuple[str, str], datetime] | None) -> ConditionAges:
    return ConditionAges("acme", stamps, NOW)


def refusal(judged: ConditionAges, limit: str = "24h") -> str:
    with pytest.raises(UnboundError) as caught:
        judged.require(*DEALS, limit)
    assert judged.valid_until is None, "what is refused ends with the next sync, not with time"
    return str(caught.value)


def test_records_at_the_limit_decide_and_a_moment_later_they_do_not() -> None:
    judged = ages({DEALS: NOW - timedelta(hours=24)})
    judged.require(*DEALS, "24h")
    assert judged.valid_until == NOW
    refusal(ages({DEALS: NOW - timedelta(hours=24, microseconds=1)}))


def test_first_end_counts() -> None:
    other = ("crm", "accounts")
    judged = ages({DEALS: NOW - timedelta(hours=1), other: NOW - timedelta(hours=2)})
    judged.require(*DEALS, "24h")
    judged.require(*other, "24h")
    assert judged.valid_until == NOW + timedelta(hours=22)


def test_nothing_is_required_without_a_limit_or_without_anything_to_be_old() -> None:
    for judged, limit in ((ages({}), None), (ages(None), "1s"), (ages(None), None)):
        judged.require(*DEALS, limit)
        assert judged.valid_until is None


@pytest.mark.parametrize(
    "stamps",
    [{}, {("erp", "deals"): NOW}, {("crm", "accounts"): NOW}, {DEALS: NOW + timedelta(minutes=6)}],
    ids=["nothing", "another connection", "another object", "of the future"],
)
def test_records_of_no_readable_age_are_too_old(
    stamps: Mapping[tuple[str, str], datetime],
) -> None:
    assert refusal(ages(stamps)) == (
        "depends on records of crm that were not all read whole yet, and may be 24h old:"
        " run `firnline sync acme --connection crm`"
    )


def test_clock_that_is_a_little_ahead_is_no_reason_to_deny() -> None:
    judged = ages({DEALS: NOW + timedelta(minutes=5)})
    judged.require(*DEALS, "1h")
    assert judged.valid_until == NOW + timedelta(minutes=65)


def test_refusal_names_the_age_in_utc_and_the_next_step() -> None:
    east = timezone(timedelta(hours=2))
    stamp = datetime(2026, 11, 20, 13, 30, 1, 99, tzinfo=east)
    said = (
        "depends on records of crm that are of 2026-11-20T11:30:01Z, and may be 24h old:"
        " run `firnline sync acme --connection crm`"
    )
    assert refusal(ages({DEALS: stamp})) == said
    assert refusal(ages({DEALS: stamp.astimezone(UTC)})) == said
