"""Bookings never pass a limit, whatever order they come in; shares never add up to more."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firnline.connectors.limits import RateLimit
from firnline.transport.call import Use
from firnline.transport.quota.book import BudgetBook
from firnline.transport.quota.ledger import Ledger
from firnline.transport.quota.shares import SHARE_TTL_S, ShareBook
from firnline.transport.quota.terms import NO_LIMIT, Shares, Term, next_reset

NOW = 1_764_000_000.0
BOTH = frozenset({Use.INTERACTIVE, Use.SYNC})


def term(calls: int = 10, per_s: float = 1.0, **changes: object) -> Term:
    budget = RateLimit.model_validate({"name": "rate", "calls": calls, "per_s": per_s, **changes})
    return Term("account", budget, Shares())


def booked(book: BudgetBook, of: Term, use: Use, now: float) -> float:
    at = book.earliest(of, use, now, lately=frozenset({use}))
    book.take(of, use, at)
    return at


@settings(max_examples=60, deadline=None)
@given(
    calls=st.integers(1, 30),
    per_s=st.sampled_from([0.5, 1.0, 10.0, 60.0, 600.0]),
    steps=st.lists(
        st.tuples(st.sampled_from(list(Use)), st.floats(0, 3)), min_size=20, max_size=90
    ),
)
def test_no_window_holds_more_calls_than_the_limit(
    calls: int, per_s: float, steps: list[tuple[Use, float]]
) -> None:
    """Whatever is asked when: a strict sliding window of the provider's never overflows."""
    one, book, now = term(calls, per_s), BudgetBook(), NOW
    sent: list[float] = []
    for use, pause in steps:
        now += pause * per_s / 10
        book.forget(one, now)
        at = book.earliest(one, use, now, lately=BOTH)
        assert now <= at < math.inf
        if at > now + 0.5:  # as the ledger does: nothing is booked far ahead
            continue
        book.take(one, use, at)
        sent.append(at)
    sent.sort()
    for index, start in enumerate(sent):
        assert sum(1 for at in sent[index:] if at < start + per_s) <= calls


@pytest.mark.parametrize(("calls", "per_s"), [(10, 1.0), (110, 10.0), (100, 20.0), (3, 1.0)])
def test_long_run_comes_within_a_tenth_of_what_the_limit_allows(calls: int, per_s: float) -> None:
    one, book, now, count = term(calls, per_s), BudgetBook(), NOW, calls * 20
    for _ in range(count):
        book.forget(one, now)
        now = booked(book, one, Use.SYNC, now)

    assert now - NOW <= 1.1 * count * per_s / calls


def test_calls_of_a_short_window_are_spaced_evenly() -> None:
    one, book = term(10, 1.0), BudgetBook()
    moments = [booked(book, one, Use.SYNC, NOW) - NOW for _ in range(5)]

    assert moments == pytest.approx([0.0, 0.09, 0.18, 0.27, 0.36])


def test_half_of_a_long_window_may_go_at_once() -> None:
    one, book = term(10, 60.0), BudgetBook()
    moments = [booked(book, one, Use.SYNC, NOW) - NOW for _ in range(7)]

    assert moments[:5] == [0.0] * 5
    assert moments[5:] == pytest.approx([5.4, 10.8])


def test_syncs_leave_what_is_kept_for_people_who_were_seen_lately() -> None:
    one, book = term(10, 60.0), BudgetBook()
    for _ in range(8):
        book.take(one, Use.SYNC, NOW)

    after = NOW + 30
    assert book.earliest(one, Use.SYNC, after) == after  # nobody waits: all of it may be used
    assert book.earliest(one, Use.SYNC, after, lately=BOTH) > NOW + 60
    assert book.earliest(one, Use.INTERACTIVE, after, lately=BOTH) == after


def test_people_who_wait_are_not_spaced() -> None:
    one, book = term(10, 1.0), BudgetBook()
    moments = [booked(book, one, Use.INTERACTIVE, NOW) - NOW for _ in range(10)]

    assert moments == [0.0] * 10


def test_writes_are_kept_a_part_from_syncs_while_there_are_any() -> None:
    one, book = term(10, 60.0), BudgetBook()
    for _ in range(8):
        book.take(one, Use.SYNC, NOW)
    writing = frozenset({Use.WRITE})

    assert book.earliest(one, Use.SYNC, NOW + 30, lately=writing) > NOW + 60
    assert book.earliest(one, Use.WRITE, NOW + 30, lately=writing) == NOW + 30


def test_syncs_stop_at_their_part_of_the_day_and_others_go_on() -> None:
    day, book = Term("account", RateLimit(name="daily", calls=100, per_s=86400), Shares()), None
    book = BudgetBook()
    for _ in range(80):
        book.take(day, Use.SYNC, NOW)

    assert book.earliest(day, Use.SYNC, NOW) >= NOW + 86400
    assert book.earliest(day, Use.WRITE, NOW) == NOW
    assert book.earliest(day, Use.INTERACTIVE, NOW) == NOW


def test_day_ends_at_its_time_of_day() -> None:
    at = datetime(2026, 11, 22, 23, 0, tzinfo=UTC).timestamp()
    limit = RateLimit(name="daily", calls=5, per_s=86400, resets="00:00 America/Chicago")
    day, book = Term("account", limit, Shares()), BudgetBook()
    for _ in range(5):
        book.take(day, Use.WRITE, at)
    midnight = datetime(2026, 11, 23, 6, 0, tzinfo=UTC).timestamp()

    assert book.earliest(day, Use.WRITE, at) == midnight
    book.forget(day, midnight)
    assert book.used(day, midnight) == 0


def test_day_begins_at_the_zone_s_time_also_when_clocks_change() -> None:
    before = datetime(2026, 11, 1, 4, 30, tzinfo=UTC).timestamp()  # 00:30 EDT; 25 h follow
    assert next_reset("00:00 America/New_York", before) == pytest.approx(
        datetime(2026, 11, 2, 5, 0, tzinfo=UTC).timestamp()
    )


def test_refusal_blocks_everybody_for_as_long_as_it_says() -> None:
    one, book = term(), BudgetBook()
    book.block(one, NOW, 7.0)

    assert {book.earliest(one, use, NOW) for use in Use} == {NOW + 7}


def test_refusals_without_a_wait_block_longer_each_time() -> None:
    one, book, waits, now = term(), BudgetBook(), [], NOW
    for _ in range(4):
        book.block(one, now, None)
        waits.append(book.blocked_until - now)
        now = book.blocked_until + 1

    assert waits == [1, 2, 4, 8]


def test_refusals_of_one_moment_count_once() -> None:
    one, book = term(), BudgetBook()
    for _ in range(5):
        book.block(one, NOW, None)

    assert book.blocked_until == NOW + 1


def test_calls_that_somebody_else_made_are_counted() -> None:
    one, book = term(100, 60.0), BudgetBook()
    book.take(one, Use.SYNC, NOW)
    book.correct(one, NOW, limit=100, remaining=39, resets_in_s=None)

    assert book.used(one, NOW) == pytest.approx(61)
    assert book.used(one, NOW + 120) == 0


def test_difference_within_what_is_under_way_is_no_drift() -> None:
    one, book = term(100, 60.0), BudgetBook()
    book.take(one, Use.SYNC, NOW)
    book.correct(one, NOW, limit=100, remaining=96, resets_in_s=None)

    assert book.used(one, NOW) == 1


def test_day_that_the_provider_counts_lower_is_taken_over() -> None:
    limit = RateLimit(name="daily", calls=1000, per_s=86400)
    day, book = Term("account", limit, Shares()), BudgetBook()
    for _ in range(300):
        book.take(day, Use.SYNC, NOW)
    book.correct(day, NOW, limit=1000, remaining=900, resets_in_s=None)

    assert book.used(day, NOW) == pytest.approx(100)


def test_nothing_left_blocks_until_the_reset_that_is_stated() -> None:
    one, book = term(100, 60.0), BudgetBook()
    book.correct(one, NOW, limit=100, remaining=0, resets_in_s=20)

    assert book.earliest(one, Use.INTERACTIVE, NOW) >= NOW + 20


def test_stated_limit_replaces_the_declared_one_unless_that_is_firm() -> None:
    loose, firm, book = term(200, 60.0), term(200, 60.0, firm=True), BudgetBook()
    book.correct(loose, NOW, limit=700, remaining=699, resets_in_s=None)

    assert (book.limit(loose), book.limit(firm)) == (700, 200)
    book.correct(loose, NOW, limit=100, remaining=99, resets_in_s=None)
    assert (book.limit(loose), book.limit(firm)) == (100, 100)


def test_count_of_what_is_left_means_nothing_without_a_limit() -> None:
    one, book = term(NO_LIMIT, 60.0), BudgetBook()
    book.correct(one, NOW, limit=None, remaining=5990, resets_in_s=None)

    assert book.used(one, NOW) == 0


def test_seconds_that_calls_took_use_up_their_budget() -> None:
    execution, book = term(1200, 300.0, unit="seconds"), BudgetBook()
    book.take(execution, Use.SYNC, NOW, cost=1199)
    assert book.earliest(execution, Use.INTERACTIVE, NOW) == NOW
    book.take(execution, Use.SYNC, NOW, cost=2)

    assert book.earliest(execution, Use.INTERACTIVE, NOW) > NOW + 300


def test_clock_that_steps_back_holds_nobody_up_for_longer_than_a_window() -> None:
    one, book = term(10, 1.0), BudgetBook()
    for _ in range(10):
        booked(book, one, Use.SYNC, NOW)
    book.block(one, NOW, 5.0)
    back = NOW - 86400
    book.forget(one, back)

    assert book.earliest(one, Use.SYNC, back) <= back + 901


def test_ledger_is_the_same_after_it_was_stored() -> None:
    ledger, one = Ledger(), term()
    booked(ledger.book(one), one, Use.SYNC, NOW)
    ledger.book(one).block(one, NOW, 3)
    ledger.book(one).correct(one, NOW, limit=50, remaining=1, resets_in_s=9)
    ledger.places.claim("p", wanted=3, in_use=1, most=5, now=NOW)
    ledger.places.lower(5, NOW)
    ledger.seen["sync"] = NOW

    assert Ledger.load(ledger.dump()) == ledger


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"budgets": 1, "places": 2, "seen": 3}'])
def test_ledger_that_cannot_be_read_begins_anew(text: str) -> None:
    assert Ledger.load(text) == Ledger()


@settings(max_examples=60, deadline=None)
@given(
    most=st.integers(1, 12),
    steps=st.lists(
        st.tuples(
            st.integers(0, 4),  # who
            st.integers(0, 15),  # wants so many
            st.integers(0, 15),  # uses so many of what it has
            st.floats(0, 4),  # after so long
        ),
        max_size=60,
    ),
)
def test_shares_of_all_processes_never_add_up_to_more(
    most: int, steps: list[tuple[int, int, int, float]]
) -> None:
    book, now = ShareBook(), NOW
    has: dict[str, tuple[int, float]] = {}
    for who, wanted, uses, pause in steps:
        now += pause
        granted, until = has.get(f"p{who}", (0, 0.0))
        in_use = min(uses, granted) if now < until else 0
        granted = book.claim(f"p{who}", wanted=wanted, in_use=in_use, most=most, now=now)
        has[f"p{who}"] = (granted, now + SHARE_TTL_S)
        alive = [share for share, until in has.values() if now < until]
        assert sum(alive) <= most


def test_newcomer_waits_until_the_others_have_shrunk() -> None:
    book = ShareBook()
    assert book.claim("a", wanted=10, in_use=0, most=4, now=NOW) == 4
    assert book.claim("b", wanted=10, in_use=0, most=4, now=NOW) == 0
    assert book.claim("a", wanted=10, in_use=4, most=4, now=NOW + 1) == 4  # still under way
    assert book.claim("a", wanted=10, in_use=2, most=4, now=NOW + 2) == 2
    assert book.claim("b", wanted=10, in_use=0, most=4, now=NOW + 3) == 2


def test_share_of_a_process_that_died_returns() -> None:
    book = ShareBook()
    book.claim("dead", wanted=4, in_use=0, most=4, now=NOW)
    assert book.claim("b", wanted=4, in_use=0, most=4, now=NOW + SHARE_TTL_S - 1) == 0

    assert book.claim("b", wanted=4, in_use=0, most=4, now=NOW + SHARE_TTL_S) == 4


def test_more_processes_than_places_have_turns() -> None:
    book, had = ShareBook(), dict.fromkeys("abc", 0)
    now = NOW
    for _ in range(60):
        for name in had:
            now += 0.1
            had[name] += book.claim(name, wanted=1, in_use=0, most=1, now=now)

    assert min(had.values()) >= 10


def test_refusals_lower_the_concurrency_and_time_raises_it() -> None:
    book = ShareBook()
    book.lower(10, NOW)
    book.lower(10, NOW + 0.1)  # of the same moment

    assert book.limit(10, NOW) == 7
    book.lower(10, NOW + 5)
    assert book.limit(10, NOW + 5) == 4
    assert book.limit(10, NOW + 5 + 120) == 6
    assert book.limit(10, NOW + 5 + 3600) == 10
    for number in range(20):
        book.lower(10, NOW + 10_000 + 3 * number)
    assert book.limit(10, NOW + 10_000 + 60) == 1
