"""Generated Salesforce orgs: answers from the cache are what the org shows each person's token."""

from __future__ import annotations

import asyncio

from hypothesis import given
from tests.oracle import salesforce_org as orgs
from tests.oracle.mirror import Mirror, differences
from tests.oracle.runs import oracle


async def _differences(structure: orgs.Structure) -> list[str]:
    async with Mirror.of(orgs.sandbox_of(structure)) as mirror:
        return await differences(mirror, structure.emails)


@oracle
@given(structure=orgs.structures)
def test_person_is_answered_what_the_org_shows_them(structure: orgs.Structure) -> None:
    """For every person, object, record and field, from memory and from DuckDB."""
    assert asyncio.run(_differences(structure)) == []
