"""Generated Salesforce orgs: answers from the cache are what the org shows each person's token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given
from tests.oracle import salesforce_org as orgs
from tests.oracle.reloading import Oracle
from tests.oracle.runs import PATIENCE, counted, oracle

pytestmark = PATIENCE


@pytest.fixture(scope="module")
def witness() -> Iterator[Oracle]:
    """Compare every structure in one mirror."""
    with counted(Oracle(orgs.sandbox_of, orgs.Structure())) as found:
        yield found


_ROLES = ((None, ("Read", "None", "Edit")), (0, ("None", "Read", "None")))
_LINE = (orgs.User(role=0), orgs.User(role=1), orgs.User())
_ALL = orgs.Permissions(reads=orgs.BUSINESS, fields=orgs.SECURED)
_OWNED = tuple((name, (orgs.Record(owner=1, other=0),)) for name in orgs.BUSINESS)
# What chance seldom puts together: each holds a person who sees, and one who does not.
HIERARCHIES_OFF = orgs.Structure(
    flat=True, roles=_ROLES, profiles=(_ALL,), users=_LINE, records=_OWNED
)
HIERARCHIES_ON = replace(HIERARCHIES_OFF, flat=False)
MUTED_GROUP = orgs.Structure(
    profiles=(orgs.Permissions(),),
    sets=(_ALL,),
    set_groups=(((0,), orgs.Permissions(reads=("Case",), fields=("Account.Industry",))),),
    users=(orgs.User(), orgs.User(groups=(0,)), orgs.User(sets=(0,))),
    records=_OWNED,
)
ACCOUNT_SHARES = orgs.Structure(
    profiles=(_ALL,),
    users=_LINE,
    models=(("Contact", "Private"),),
    groups=(orgs.Group(users=(0,)), orgs.Group(groups=(0,)), orgs.Group("Queue", users=(2,))),
    records=(*_OWNED[:3], ("Case", (orgs.Record(owner=0, owned_by_group=True),)), *_OWNED[4:]),
    shares=(
        orgs.Share(grantee=1, to_group=True, opens=("Read", "None", "Edit")),
        orgs.Share(grantee=2, opens=("None", "Read", "None")),
    ),
)
_NONE = ("None", "None", "None")
# Three levels of roles; what the last user owns, who has none, is shared with groups of each kind.
CHAIN_OF_ROLES = orgs.Structure(
    models=(("User", "Private"), ("Contact", "ControlledByParent")),
    roles=((None, ("Read", "Read", "Read")), (0, _NONE), (1, _NONE)),
    profiles=(_ALL,),
    sets=(orgs.Permissions(user=("ViewAllUsers",)),),
    users=(orgs.User(role=0), orgs.User(role=1), orgs.User(role=2), orgs.User(sets=(0,))),
    groups=(
        orgs.Group("Role", role=1),
        orgs.Group("RoleAndSubordinatesInternal", role=1),
        orgs.Group(users=(2,), bosses=False),
    ),
    records=(
        ("Account", tuple(orgs.Record(owner=owner) for owner in (3, 3, 3, 2, 0))),
        ("Contact", (orgs.Record(owner=2, parent=None),)),
        ("Opportunity", (orgs.Record(owner=3, parent=4),)),
    ),
    shares=tuple(orgs.Share(record=place, grantee=place, to_group=True) for place in range(3)),
)
EVERY_FIELD = orgs.Structure(
    models=(("Account", "Read"),),
    profiles=(orgs.Permissions(reads=orgs.BUSINESS),),
    sets=(orgs.Permissions(all_fields=("Account",)),),
    users=(orgs.User(sets=(0,)), orgs.User()),
    records=_OWNED,
)


@oracle
@example(structure=CHAIN_OF_ROLES)
@example(structure=EVERY_FIELD)
@example(structure=HIERARCHIES_OFF)
@example(structure=HIERARCHIES_ON)
@example(structure=MUTED_GROUP)
@example(structure=ACCOUNT_SHARES)
@given(structure=orgs.structures)
def test_person_is_answered_what_the_org_shows_them(
    witness: Oracle, structure: orgs.Structure
) -> None:
    """For every person, object, record and field, from memory and from DuckDB."""
    assert witness.differences(structure) == []
