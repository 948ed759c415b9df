"""Generated NetSuite accounts: answers from the cache are what each person's token is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from tests.oracle import netsuite_account as accounts
from tests.oracle.reloading import Oracle
from tests.oracle.runs import PATIENCE, counted, oracle

pytestmark = PATIENCE


@pytest.fixture(scope="module")
def witness() -> Iterator[Oracle]:
    """Compare every structure in one mirror, of one sandbox."""
    plain = accounts.Structure()
    sandbox = accounts.sandbox_of(plain)
    with counted(Oracle(lambda held: accounts.reseeded(sandbox, held), plain)) as found:
        yield found


# What chance seldom puts together: three levels, and records of each.
CHAIN_OF_COMMAND = accounts.Structure(
    roles=(accounts.Role(employees="OWN_AND_SUBORDINATES_ONLY"),),
    people=(accounts.Person(), accounts.Person(supervisor=1), accounts.Person(supervisor=2)),
    customers=tuple(accounts.Placed(employee=place) for place in range(4)),
)
DEEP_DEPARTMENTS = accounts.Structure(
    trees=((None, 0, 1), (None,), (None,)),
    roles=(accounts.Role(segments=(("DEPARTMENT", "OWN_AND_SUBORDINATES_ONLY", False),)),),
    people=(accounts.Person(placed=accounts.Placed(segments=(0, None, None))),),
    invoices=tuple(accounts.Placed(segments=(place, None, None)) for place in range(3)),
)


@oracle
@example(structure=CHAIN_OF_COMMAND)
@example(structure=DEEP_DEPARTMENTS)
@given(structure=accounts.structures)
def test_person_is_answered_what_the_account_shows_them(
    witness: Oracle, structure: accounts.Structure
) -> None:
    """For every person, object, record and field, from memory and from DuckDB."""
    assert witness.differences(structure) == []
