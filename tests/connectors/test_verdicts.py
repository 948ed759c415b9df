"""What answers mean to every connector alike: statuses, and how long a provider asks to wait."""

from __future__ import annotations

import pytest

from firnline.connectors.protocol import ErrorClass, Grounds, Response, grounds_of_status


@pytest.mark.parametrize(
    ("stated", "wait_s"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("86400", 86400.0),
        ("86401", None),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("9" * 400, None),
        ("soon", None),
        ("", None),
    ],
)
def test_wait_is_what_the_provider_states_within_reason(stated: str, wait_s: float | None) -> None:
    assert Response(429, {"retry-after": stated}, b"").retry_after_s() == wait_s


def test_answer_that_states_no_wait_has_none() -> None:
    assert Response(429, {}, b"").retry_after_s() is None


def test_status_alone_tells_whose_trouble_it_is() -> None:
    assert {grounds_of_status(status) for status in range(500, 600)} == {Grounds.UNAVAILABLE}
    assert grounds_of_status(429) is Grounds.RATE_LIMITED
    assert grounds_of_status(422) is Grounds.INVALID
    assert grounds_of_status(418) is Grounds.UNKNOWN


def test_every_ground_has_a_class_and_every_class_a_ground() -> None:
    assert {grounds.error_class for grounds in Grounds} == set(ErrorClass)
    assert Grounds.TOKEN_REVOKED.error_class is ErrorClass.AUTH_INVALIDATED
    assert Grounds.SCOPE_MISSING.error_class is ErrorClass.FORBIDDEN
    assert Grounds.UNAVAILABLE.error_class is ErrorClass.TRANSIENT
