"""Modes and limits of age: what they need, and where a tenant would widen them."""

from __future__ import annotations

import itertools

import pytest
from tests.spec.conftest import Copy, listed

from firnline.spec.effective import effective_access, narrowed
from firnline.spec.model import ObjectPolicy
from firnline.spec.modes import STRICTEST_FIRST, stricter

INTEGRATION, ACME = "firnline.yaml", "tenants/acme.yaml"
POLICY = '    "*": {mode: mirror}\n  providers'  # of the integration's objects
VERIFIED = "    Ticket: {mode: verify, verified_for: 45s}\n"
AGED = VERIFIED + '    "*": {mode: mirror, max_age: 1h}\n  max_age: 24h\n  providers'


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
        ("{mode: verify, max_age: 1h}", "max_age_without_mirror", "max_age:", "not mirrored"),
        (
            "{mode: deny, verified_for: 30s}",
            "verified_for_without_verify",
            "verified_for:",
            "nobody asks",
        ),
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
        ("{objects: {Ticket: {mode: mirror}}}", "mirror", "the integration verifies"),
        ("{objects: {Ticket: {mode: verify, verified_for: 2m}}}", "2m", "the integration's 45s"),
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


@pytest.mark.parametrize(
    ("narrowing", "mode", "verified_for"),
    [
        ("{objects: {Deal: {mode: verify}}}", "verify", None),
        ("{objects: {Deal: {mode: verify, verified_for: 30s}}}", "verify", "30s"),
        ("{objects: {Deal: {mode: verify}}, verified_for: 15s}", "verify", "15s"),
        ("{objects: {Deal: {mode: deny}}}", "deny", None),
    ],
)
def test_tenant_may_have_verified_what_the_integration_mirrors(
    copy: Copy, narrowing: str, mode: str, verified_for: str | None
) -> None:
    path = copy.directory / ACME
    path.write_text(f"{path.read_text('utf-8')}access: {narrowing}\n", "utf-8")
    project = copy.load()
    policy = effective_access(project.integration, project.tenants["acme"]).objects["Deal"]
    assert (policy.mode, policy.verified_for) == (mode, verified_for)


def test_mode_of_both_sides_is_the_stricter_whichever_states_it() -> None:
    for outer, inner in itertools.product(STRICTEST_FIRST, repeat=2):
        found = narrowed(ObjectPolicy(mode=outer), ObjectPolicy(mode=inner)).mode
        assert found == stricter(outer, inner) == stricter(inner, outer)
    assert STRICTEST_FIRST == ("deny", "verify", "mirror", "policy")


@pytest.mark.parametrize("age", ["0s", "1000s", "11m", "1h", "60"])
def test_life_of_a_verdict_is_short(copy: Copy, age: str) -> None:
    stated = f"verify, verified_for: '{age}'"
    copy.replace(INTEGRATION, POLICY, POLICY.replace("mirror", stated, 1))
    assert any("up to ten minutes" in problem.message for problem in copy.problems())


def test_object_that_no_connector_can_ask_about_is_reported_where_it_stands(copy: Copy) -> None:
    """Zendesk shows agents their tickets one by one, and has no such call for groups."""
    mirrored = '    zendesk:\n      "*": {mode: mirror}\n'
    stated = "      groups: {mode: verify}\n      tickets: {mode: verify}\n"
    copy.replace(INTEGRATION, mirrored, mirrored + stated)
    expect(copy, "verify_unsupported", "verify}", "It can ask about: tickets, users")


def test_mapping_that_leads_to_what_cannot_be_asked_about_is_reported(copy: Copy) -> None:
    copy.replace(INTEGRATION, POLICY, f"    Ticket: {{mode: verify}}\n{POLICY}")
    copy.load()
    mapping = "  Ticket:\n    connection: zendesk\n    object: groups\n    fields: {id: id}\n"
    copy.replace(ACME, "mappings:\n", f"mappings:\n{mapping}")
    expect(copy, "verify_unsupported", "Ticket:", "cannot ask the source about single records of g")


def test_demo_project_can_be_verified_as_a_whole(copy: Copy) -> None:
    """Each of its objects comes from where single records can be asked about."""
    copy.replace(INTEGRATION, POLICY, POLICY.replace("mirror", "verify", 1))
    assert {problem.code for problem in copy.problems()} == {"override_widens"}  # globex mirrors
