"""`/metrics`: open to the installation's own token, or to this machine in development."""

from __future__ import annotations

import httpx2
import pytest
from tests.web.conftest import Serving

TOKEN = "a-token-of-the-operator"


def test_figures_in_development_are_for_this_machine(serving: Serving) -> None:
    with serving() as (url, _gateway, _token):
        answer = httpx2.get(f"{url}/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text.startswith("# figures\n")
    assert answer.text.endswith("\nfirnline_subscriptions_open 0\n")


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_figures_in_development_are_not_for_whom_a_proxy_speaks(
    serving: Serving, name: str
) -> None:
    with serving() as (url, _gateway, _token):
        answer = httpx2.get(f"{url}/metrics", headers={name: "203.0.113.7"})

    assert answer.status_code == 404


def test_figures_outside_development_are_nowhere_without_a_token(serving: Serving) -> None:
    with serving(development=False) as (url, _gateway, token):
        answer = httpx2.get(f"{url}/metrics", headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["extensions"]["code"] == "not_found"


@pytest.mark.parametrize("development", [True, False])
def test_figures_with_a_token_are_for_those_who_send_it(
    serving: Serving, development: bool
) -> None:
    with serving(development=development, metrics_token=TOKEN) as (url, _gateway, person):
        right = httpx2.get(f"{url}/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        wrong = [
            httpx2.get(f"{url}/metrics", headers=headers)
            for headers in (
                {},
                {"authorization": f"Bearer {TOKEN}x"},
                {"authorization": f"Basic {TOKEN}"},
                {"authorization": f"Bearer {person}"},
            )
        ]

    assert right.text.startswith("# figures\n")
    for answer in wrong:
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["extensions"]["code"] == "metrics_refused"
        assert TOKEN not in answer.text
