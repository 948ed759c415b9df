"""Rights that ended at the provider after the last sync: verified objects show none of them.

Every record and field that a person is answered is one that both the mirror and, at this moment,
the provider itself shows them; and all of those are.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracle import salesforce_org as orgs
from tests.oracle.mirror import Mirror, Sight
from tests.oracle.runs import EXAMPLES
from tests.oracle.test_revocation import REMOVALS

from firnline.connectors.protocol import Response, VerifyQuery
from firnline.errors import FirnlineError
from firnline.graph.cursor import CursorSeal
from firnline.graph.policy.checks import Verification
from firnline.graph.respond import Responder
from firnline.graph.tenants import TenantGraphs
from firnline.spec.model import AccessSpec, Project

VERIFY, MIRROR = {"mode": "verify"}, {"mode": "mirror"}
ZENDESK = {"*": MIRROR, "tickets": VERIFY, "users": VERIFY, "organizations": VERIFY}
NETSUITE = {"*": VERIFY}
POLICY = AccessSpec.model_validate(
    {"providers": {"salesforce": {"*": VERIFY}, "zendesk": ZENDESK, "netsuite": NETSUITE}}
)
# What NetSuite's roles hide of a record is mirrored alone.
RECORD_RIGHTS = [kind for kind in REMOVALS if kind != "netsuite-column"]
ORGANISATION = ("salesforce-share", "salesforce-field", "salesforce-muting", "salesforce-user")
ASKED = [
    *((kind, True) for kind in RECORD_RIGHTS),
    *((kind, False) for kind in ORGANISATION),
]


class _CannotSignInError(FirnlineError):
    code = "verify_not_connected"


class _Asker:
    """Asks the sandbox with the person's own token, or with the organisation's about them."""

    def __init__(self, mirror: Mirror, *, is_own: bool) -> None:
        self._mirror = mirror
        self._is_own = is_own
        self.questions = 0

    async def visible(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return which keys of a query the person sees now."""
        connector = self._mirror.channel.connector
        batch_max = connector.manifest.verify.batch_max  # type: ignore[union-attr]
        seen: set[str] = set()
        for start in range(0, len(query.keys), batch_max):
            some = VerifyQuery(
                *(query.object, query.keys[start : start + batch_max], query.user_key),
                is_own=self._is_own,
            )
            answer = await self._send(connector.build_verify(some), person)
            seen |= connector.parse_verify(some, answer)
        return frozenset(seen)

    async def hidden_fields(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return which fields are kept back from the person now."""
        asking = VerifyQuery(query.object, (), query.user_key, is_own=self._is_own)
        steps = self._mirror.channel.connector.verify_fields(asking)
        try:
            asked = next(steps)
            while True:
                asked = steps.send([await self._send(each, person) for each in asked])
        except StopIteration as ended:
            return cast(frozenset[str], ended.value)

    async def _send(self, request: Any, person: str) -> Response:
        self.questions += 1
        front, sandbox = self._mirror.channel.front, self._mirror.sandbox
        whose = person if self._is_own else sandbox.integration_email
        before = front.sandbox.integration_email
        try:
            sandbox.token_for(whose)
        except LookupError:
            raise _CannotSignInError("that person cannot sign in any more") from None
        try:
            front.sandbox.integration_email = whose  # the channel speaks as this person
            answer = await self._mirror.channel.send(request)
        finally:
            front.sandbox.integration_email = before
        if self._mirror.channel.connector.refused(answer):
            raise FirnlineError(f"refused with {answer.status}")
        return answer


def verifying(mirror: Mirror, *, is_own: bool) -> _Asker:
    """Let a mirror's answers be checked at the sandbox from now on."""
    asker = _Asker(mirror, is_own=is_own)
    project: Project = mirror.graphs.project
    integration = project.integration.model_copy(update={"access": POLICY})
    graphs = TenantGraphs(
        project.model_copy(update={"integration": integration}),
        catalogs=cast(Any, mirror.catalogs),
        clock=mirror.clock,
    )

    async def opened(tenant: str) -> Any:
        return mirror.database

    mirror.graphs = graphs
    mirror.responders = {
        "duckdb": Responder(
            graphs,
            databases=opened,
            operations=cast(Any, mirror.catalogs),
            seal=CursorSeal(b"k" * 32),
            clock=mirror.clock,
            verification=Verification(asker, mirror.clock),
        )
    }
    return asker


def both_show(mirrored: Sight, shown: Sight) -> Sight:
    """Return the mirrored records, with those fields, that the provider shows, too."""
    fields: dict[str, set[str]] = {"User": {"UserRoleId"}}  # one removal empties it on the record
    for (name, _), row in shown.items():
        fields.setdefault(name, set()).update(row)
    return {
        (name, key): {field: value for field, value in row.items() if field in fields[name]}
        for (name, key), row in mirrored.items()
        if (name, key) in shown
    }


@pytest.mark.parametrize(("kind", "is_own"), ASKED)
async def test_right_removed_at_the_provider_ends_without_a_sync(kind: str, is_own: bool) -> None:
    removal = REMOVALS[kind]
    sandbox = removal.sandbox()
    async with Mirror.of(sandbox) as mirror:
        before = await mirror.sight(removal.email, "duckdb")
        removal.remove(mirror.sandbox)
        shown = await mirror.shown(removal.email)
        expected = both_show(before, shown)
        if sandbox.provider == "zendesk":  # groups cannot be asked about one by one
            expected |= {place: row for place, row in before.items() if place[0] == "groups"}
        asker = verifying(mirror, is_own=is_own)

        assert await mirror.sight(removal.email, "duckdb") == expected
        assert len(expected) < len(before) or expected != before, "nothing was taken away"
        assert asker.questions


@settings(
    max_examples=max(6, EXAMPLES // 8),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(structure=orgs.structures, seed=st.integers(0, 10_000), is_own=st.booleans())
def test_generated_orgs_are_seen_as_they_are_now(
    structure: orgs.Structure, seed: int, is_own: bool
) -> None:
    """Shares, memberships and assignments taken away at random after the sync."""

    async def compared() -> None:
        async with Mirror.of(orgs.sandbox_of(structure)) as mirror:
            people = [email for email in structure.emails if email in mirror.sandbox.emails()]
            before = {email: await mirror.sight(email, "duckdb") for email in people}
            _take_away(mirror.sandbox, random.Random(seed))
            verifying(mirror, is_own=is_own)
            for email in people[1:]:  # who administrates sees what takes the rights away
                expected = both_show(before[email], await mirror.shown(email))
                assert await mirror.sight(email, "duckdb") == expected, email

    asyncio.run(compared())


def _take_away(sandbox: Any, draw: random.Random) -> None:
    org = sandbox.org
    shares = [name for name, found in org.objects.items() if found.share_of]
    assigned = {user: key for key, user in enumerate(org.user_ids.values())}
    for name in (*shares, "GroupMember", "PermissionSetAssignment"):
        for row in list(org.live(name)):
            is_admins = assigned.get(row.get("AssigneeId", "")) == 0
            if row.get("RowCause") != "Owner" and not is_admins and draw.random() < 0.4:
                sandbox.delete(name, row["Id"])
