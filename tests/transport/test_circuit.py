"""One circuit: when it opens, how it finds out, how it closes; in set time, without a network."""

from __future__ import annotations

import itertools
import random

import pytest

from firnline.transport.circuit import (
    CALLS_MIN,
    OPEN_MAX_S,
    OPEN_S,
    RAMP_CALLS_MAX,
    RAMP_S,
    WINDOW_S,
    Circuit,
    CircuitState,
    Pass,
    Step,
)


class Driver:
    """A circuit and its time."""

    def __init__(self, draw: float = 0.0) -> None:
        self.now = 1_000.5
        self.draw = draw
        self.circuit = Circuit(self.now)

    def start(self) -> Pass:
        given = self.circuit.start(self.now)
        assert isinstance(given, Pass)
        return given

    def end(self, given: Pass, failed: bool | None) -> None:
        self.circuit.end(given, self.now, failed=failed, draw=self.draw)

    def call(self, failed: bool | None) -> None:
        self.end(self.start(), failed)

    def open(self) -> None:
        while self.circuit.state is CircuitState.CLOSED:
            self.call(failed=True)

    def reopened(self) -> float:
        """Fail the next probe; return how long the circuit stays open then."""
        self.now += self.circuit.retry_after_s(self.now)
        self.call(failed=True)
        assert self.circuit.state is CircuitState.OPEN
        return self.circuit.retry_after_s(self.now)


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_circuit_opens_at_half_of_ten_calls(driver: Driver) -> None:
    for _ in range(5):
        driver.call(failed=False)
    for _ in range(4):
        driver.call(failed=True)
    assert driver.circuit.state is CircuitState.CLOSED

    driver.call(failed=True)

    assert driver.circuit.state is CircuitState.OPEN
    assert driver.circuit.retry_after_s(driver.now) == OPEN_S
    assert driver.circuit.failure_share(driver.now) == 0.5
    assert driver.circuit.start(driver.now) is Step.REFUSED


def test_nine_failures_are_too_few_to_judge(driver: Driver) -> None:
    for _ in range(CALLS_MIN - 1):
        driver.call(failed=True)

    assert driver.circuit.state is CircuitState.CLOSED


def test_failures_older_than_the_window_count_no_more(driver: Driver) -> None:
    for _ in range(CALLS_MIN - 1):
        driver.call(failed=True)
    driver.now += WINDOW_S + 1

    driver.call(failed=True)

    assert driver.circuit.state is CircuitState.CLOSED
    assert (driver.circuit.window.calls, driver.circuit.window.failures) == (1, 1)


def test_calls_that_say_nothing_of_the_provider_are_not_counted(driver: Driver) -> None:
    for _ in range(100):
        driver.call(failed=None)

    assert driver.circuit.window.calls == 0
    assert driver.circuit.state is CircuitState.CLOSED


def test_one_call_at_a_time_finds_out_whether_the_provider_is_back(driver: Driver) -> None:
    driver.open()
    driver.now += OPEN_S

    probe = driver.start()

    assert driver.circuit.state is CircuitState.HALF_OPEN
    assert driver.circuit.start(driver.now) is Step.REFUSED
    assert driver.circuit.retry_after_s(driver.now) > 0
    driver.end(probe, failed=False)
    assert driver.circuit.state is CircuitState.CLOSED
    assert driver.circuit.window.calls == 0


def test_probe_that_is_given_up_leaves_the_next_call_to_find_out(driver: Driver) -> None:
    driver.open()
    driver.now += OPEN_S
    driver.end(driver.start(), failed=None)
    assert driver.circuit.state is CircuitState.OPEN

    assert driver.start().is_probe


def test_open_time_doubles_while_probes_fail_up_to_its_limit(driver: Driver) -> None:
    driver.open()

    stays = [driver.reopened() for _ in range(5)]

    assert stays == [60.0, 120.0, 240.0, OPEN_MAX_S, OPEN_MAX_S]


def test_open_time_is_jittered_and_never_shorter(driver: Driver) -> None:
    chance = random.Random(7)
    stays = []
    for _ in range(50):
        drawn = Driver(chance.random())
        drawn.open()
        stays.append(drawn.circuit.retry_after_s(drawn.now))

    assert min(stays) >= OPEN_S
    assert max(stays) <= OPEN_S * 1.2
    assert len(set(stays)) > 40


def test_calls_begun_before_a_change_decide_nothing_after_it(driver: Driver) -> None:
    early = [driver.start() for _ in range(3)]
    driver.open()
    driver.end(early[0], failed=False)
    assert driver.circuit.state is CircuitState.OPEN
    driver.now += OPEN_S
    probe = driver.start()
    driver.end(early[1], failed=False)
    assert driver.circuit.state is CircuitState.HALF_OPEN
    driver.end(probe, failed=False)
    driver.end(early[2], failed=True)

    assert driver.circuit.window.failures == 0
    assert driver.circuit.running == 0


def closed_again(driver: Driver) -> None:
    driver.open()
    driver.now += driver.circuit.retry_after_s(driver.now)
    driver.call(failed=False)


def started(driver: Driver) -> list[Pass]:
    """Start as many calls as may start now, up to a thousand."""
    calls: list[Pass] = []
    while len(calls) < 1_000 and isinstance(given := driver.circuit.start(driver.now), Pass):
        calls.append(given)
    return calls


def test_no_herd_when_it_closes(driver: Driver) -> None:
    closed_again(driver)
    sizes = []
    while len(calls := started(driver)) < 1_000:
        sizes.append(len(calls))
        for given in calls:
            driver.end(given, failed=False)

    assert sizes == [1, 2, 4, 8, 16, 32, RAMP_CALLS_MAX]


def test_slow_successes_end_the_careful_start_after_a_while(driver: Driver) -> None:
    closed_again(driver)
    first = started(driver)
    assert len(first) == 1
    driver.now += RAMP_S

    assert len(started(driver)) == 1_000


def test_provider_that_comes_and_goes_is_left_alone_ever_longer(driver: Driver) -> None:
    """Every second call fails, each second one; over an hour it opens a dozen times at most."""
    openings: list[float] = []
    answers = 0
    ends_at = driver.now + 3_600
    while driver.now < ends_at:
        given = driver.circuit.start(driver.now)
        if isinstance(given, Pass):
            answers += 1
            before = driver.circuit.state
            # A probe succeeds: the worst case, as the circuit closes each time.
            driver.end(given, failed=not given.is_probe and answers % 2 == 0)
            if before is CircuitState.CLOSED and driver.circuit.state is CircuitState.OPEN:
                openings.append(driver.now)
        driver.now += 1.0

    apart = [later - sooner for sooner, later in itertools.pairwise(openings)]
    assert len(openings) >= 4
    assert min(apart) >= OPEN_S
    assert all(later >= sooner for sooner, later in itertools.pairwise(apart))
    assert len(openings) <= 3_600 / WINDOW_S / 3


def test_trouble_long_after_closing_is_new_trouble(driver: Driver) -> None:
    closed_again(driver)
    driver.now += WINDOW_S
    driver.open()

    assert driver.circuit.retry_after_s(driver.now) == OPEN_S


def test_window_is_bounded_however_many_calls_there_are(driver: Driver) -> None:
    for number in range(20_000):
        driver.call(failed=number % 3 == 0)
        driver.now += 0.01

    assert len(driver.circuit.window._seconds) <= WINDOW_S + 2
    assert driver.circuit.window.calls == pytest.approx(6_000, rel=0.03)
