"""Generated Zendesk accounts: answers from the cache are what each person's token is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from tests.oracle import zendesk_account as accounts
from tests.oracle.reloading import Oracle
from tests.oracle.runs import PATIENCE, counted, oracle

pytestmark = PATIENCE


@pytest.fixture(scope="module")
def witness() -> Iterator[Oracle]:
    """Compare every structure in one mirror."""
    with counted(Oracle(accounts.sandbox_of, accounts.Structure())) as found:
        yield found


@oracle
@given(structure=accounts.structures)
def test_person_is_answered_what_the_account_shows_them(
    witness: Oracle, structure: accounts.Structure
) -> None:
    """For every person, object, record and field, from memory and from DuckDB."""
    assert witness.differences(structure) == []
