"""Generated NetSuite accounts: answers from the cache are what each person's token is shown."""

from __future__ import annotations

import asyncio

from hypothesis import given
from tests.oracle import netsuite_account as accounts
from tests.oracle.mirror import Mirror, differences
from tests.oracle.runs import oracle


async def _differences(structure: accounts.Structure) -> list[str]:
    async with Mirror.of(accounts.sandbox_of(structure)) as mirror:
        return await differences(mirror, structure.emails)


@oracle
@given(structure=accounts.structures)
def test_person_is_answered_what_the_account_shows_them(structure: accounts.Structure) -> None:
    """For every person, object, record and field, from memory and from DuckDB."""
    assert asyncio.run(_differences(structure)) == []
