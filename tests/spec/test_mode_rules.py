"""Modes and limits of age: what they need, and where a tenant would widen them."""

from __future__ import annotations

import pytest
from tests.spec.conftest import Copy, listed

INTEGRATION, ACME = "firnline.yaml", "tenants/acme.yaml"
POLICY = '    "*": {mode: mirror}\n  providers'  # of the integration's objects
AGED = '    "*": {mode: mirror, max_age: 1h}\n  max_age: 24h\n  providers'


def expect(copy: Copy, code: str, points_at: str, says: str) -> None:
    """Find exactly one problem of `code`, at `points_at`, whose words hold `says`."""
    found = [problem for problem in copy.problems() if problem.code == code]
    assert len(found) == 1, listed(copy.problems())
    assert copy.pointed_at(found[0]).startswith(points_at), str(found[0])
    assert says in f"{found[0].message} | {found[0].hint}"


@pytest.mark.parametrize(
    ("policy", "code", "points_at", "says"),
    [
        ("{mode: policy}", "policy_without_rows", "policy}", "State `rows`"),
        ("{mode: deny, max_age: 1h}", "max_age_without_mirror", "max_age:", "not mirrored"),
    ],
)
def test_policy_that_cannot_mean_what_it_says_is_reported(
    copy: Copy, policy: str, code: str, points_at: str, says: str
) -> None:
    copy.replace(INTEGRATION, POLICY, f"    Deal: {policy}\n{POLICY}")
    expect(copy, code, points_at, says)


@pytest.mark.parametrize(
    ("access", "points_at", "says"),
    [
        ("{max_age: 2d}", "2d", "2d is longer than the integration's 24h"),
        ("{objects: {Deal: {mode: mirror, max_age: 90m}}}", "90m", "the integration's 1h"),
        (
            "{objects: {Deal: {mode: policy, rows: {stage: {eq: x}}}}}",
            "policy",
            "the tenant cannot leave that out",
        ),
    ],
)
def test_tenant_that_would_widen_modes_or_limits_is_reported(
    copy: Copy, access: str, points_at: str, says: str
) -> None:
    copy.replace(INTEGRATION, POLICY, AGED)
    path = copy.directory / ACME
    text = path.read_text("utf-8")
    assert "\naccess:" not in text
    path.write_text(f"{text}access: {access}\n", "utf-8")
    expect(copy, "override_widens", points_at, says)


@pytest.mark.parametrize("age", ["0h", "15", "1w", "100000h", "-1h"])
def test_limit_that_is_no_span_of_time_is_reported(copy: Copy, age: str) -> None:
    copy.replace(INTEGRATION, POLICY, POLICY.replace("mirror}", f"mirror, max_age: '{age}'}}"))
    (problem,) = copy.problems()
    assert "minutes, hours or days" in problem.message, str(problem)
