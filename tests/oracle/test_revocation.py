"""A right removed at the provider ends with the sync that carries it, in one open server process.

Nothing that was made under the old right may outlive it: kept answers, compiled plans, columns in
memory, cursors already given out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.oracle import netsuite_account as netsuite
from tests.oracle import salesforce_org as salesforce
from tests.oracle import zendesk_account as zendesk
from tests.oracle.mirror import READERS, Mirror, differences

KEPT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Removal:
    """An account, a person in it, the object to page through, and what takes a right away."""

    sandbox: Callable[[], Any]
    email: str
    object: str
    remove: Callable[[Any], None]


_USER = "u0@org.test"
_THREE = (salesforce.Record(owner=1),) * 3
_RECORDS = (("Account", _THREE), ("Opportunity", _THREE))
_READS = salesforce.Permissions(reads=salesforce.BUSINESS, fields=salesforce.SECURED)
_SHARES = tuple(salesforce.Share(record=place) for place in range(3))
_ORG = salesforce.Structure(
    profiles=(_READS,), users=(salesforce.User(), salesforce.User()), records=_RECORDS
)
_ROLES = ((None, ("None", "None", "None")), (0, ("None", "None", "None")))


def _org(**changes: Any) -> Callable[[], Any]:
    return lambda: salesforce.sandbox_of(replace(_ORG, **changes))


def _drop(name: str, **facts: Any) -> Callable[[Any], None]:
    """Return what deletes the last record of a setup or share object with these facts."""

    def drop(sandbox: Any) -> None:
        *_, key = (
            row["Id"]
            for row in sandbox.org.live(name)
            if all(row[field] == value for field, value in facts.items())
        )
        sandbox.delete(name, key)

    return drop


def _leave_role(sandbox: Any) -> None:
    sandbox.change("User", sandbox.org.user_ids[_USER], UserRoleId=None)


def _leave(sandbox: Any) -> None:
    sandbox.change("User", sandbox.org.user_ids[_USER], IsActive=False)
    sandbox._emails = tuple(each for each in sandbox.emails() if each != _USER)


def _close(sandbox: Any) -> None:
    entity = sandbox.org.rows["EntityDefinition"]["Account"]
    sandbox.org.objects["Account"] = replace(sandbox.org.objects["Account"], model="Private")
    sandbox.change("EntityDefinition", entity["DurableId"], InternalSharingModel="Private")


def _unassign(sandbox: Any) -> None:
    user = sandbox.org.user_ids[_USER]
    _drop("PermissionSetAssignment", AssigneeId=user)(sandbox)


def _mute(sandbox: Any) -> None:
    sets = salesforce._sets
    org = sandbox.org
    muting = org.put("MutingPermissionSet", DeveloperName="Muting")
    org.put("ObjectPermissions", ParentId=muting, SobjectType="Account", PermissionsRead=True)
    (group,) = org.rows["PermissionSetGroup"]
    org.put("PermissionSetGroupComponent", PermissionSetGroupId=group, PermissionSetId=muting)
    sets.recalculate(org, group)


_GROUP = salesforce.Group(users=(0,))
_OWNED = (("Account", (salesforce.Record(owner=0),) * 3),)

_AGENT = "a0@desk.test"
_TICKETS = tuple(zendesk.Ticket(group=0, organization=0, assignee=1) for _ in range(3))


def _desk(**agent: Any) -> Callable[[], Any]:
    role = zendesk.Role(ticket_access=agent.pop("access", "within-groups"))
    structure = zendesk.Structure(
        roles=(role,), agents=(zendesk.Agent(**agent), zendesk.Agent()), tickets=_TICKETS
    )
    return lambda: zendesk.sandbox_of(structure)


def _leave_group(sandbox: Any) -> None:
    (key,) = [
        key
        for key, row in sandbox.store.table("group_memberships").rows.items()
        if row["user_id"] == 101
    ]
    sandbox.delete("group_memberships", str(key))


def _narrow_role(sandbox: Any) -> None:
    row = sandbox.store.table("custom_roles").rows[700]
    configuration = {**row["configuration"], "ticket_access": "assigned-only"}
    sandbox.change("custom_roles", "700", configuration=configuration)
    sandbox.change("tickets", "1", assignee_id=102)


def _suspend(sandbox: Any) -> None:
    sandbox.store.table("users").rows[101]["suspended"] = True
    sandbox.store._touch(sandbox.store.table("users"), 101)
    sandbox._emails = [each for each in sandbox.emails() if each != _AGENT]


_PERSON = "p0@erp.test"
_BOOKS = netsuite.Structure(customers=(netsuite.Placed(employee=1),) * 3)


def _books(**role: Any) -> Callable[[], Any]:
    return lambda: netsuite.sandbox_of(replace(_BOOKS, roles=(netsuite.Role(**role),)))


def _set_role(**facts: Any) -> Callable[[Any], None]:
    def change(sandbox: Any) -> None:
        sandbox.store.roles[1010] = replace(sandbox.store.roles[1010], **facts)
        sandbox.store.version += 1

    return change


def _retire(sandbox: Any) -> None:
    sandbox.change("employee", "12", isinactive="T")


REMOVALS = {
    "salesforce-share": Removal(
        _org(shares=_SHARES), _USER, "Account", _drop("AccountShare", RowCause="Manual")
    ),
    "salesforce-group": Removal(
        _org(groups=(_GROUP,), shares=tuple(replace(each, to_group=True) for each in _SHARES)),
        _USER,
        "Account",
        _drop("GroupMember"),
    ),
    "salesforce-role": Removal(
        _org(roles=_ROLES, users=(salesforce.User(role=0), salesforce.User(role=1))),
        _USER,
        "Account",
        _leave_role,
    ),
    "salesforce-model": Removal(_org(models=(("Account", "Read"),)), _USER, "Account", _close),
    "salesforce-assignment": Removal(_org(records=_OWNED), _USER, "Account", _unassign),
    "salesforce-field": Removal(
        _org(records=_OWNED), _USER, "Account", _drop("FieldPermissions", Field="Account.Industry")
    ),
    "salesforce-user": Removal(_org(records=_OWNED), _USER, "Account", _leave),
    "salesforce-muting": Removal(
        _org(
            records=_OWNED,
            profiles=(salesforce.Permissions(),),
            sets=(_READS,),
            set_groups=(((0,), None),),
            users=(salesforce.User(groups=(0,)), salesforce.User()),
        ),
        _USER,
        "Account",
        _mute,
    ),
    "zendesk-membership": Removal(_desk(groups=(0,)), _AGENT, "tickets", _leave_group),
    "zendesk-role": Removal(_desk(access="all"), _AGENT, "tickets", _narrow_role),
    "zendesk-suspension": Removal(_desk(access="all"), _AGENT, "tickets", _suspend),
    "netsuite-permission": Removal(
        _books(), _PERSON, "customer", _set_role(permissions=dict(netsuite._roles_module._ENTRY))
    ),
    "netsuite-subsidiary": Removal(
        _books(), _PERSON, "customer", _set_role(option="SELECTED", selected=frozenset())
    ),
    "netsuite-employee": Removal(
        _books(),
        _PERSON,
        "customer",
        _set_role(employees="OWN_AND_SUBORDINATES_ONLY", segments=()),
    ),
    "netsuite-column": Removal(
        _books(),
        _PERSON,
        "customer",
        _set_role(lacks=frozenset({("customer", "creditlimit")})),
    ),
    "netsuite-inactive": Removal(_books(), _PERSON, "customer", _retire),
}


@pytest.mark.parametrize("kind", REMOVALS)
async def test_removed_right_ends_with_the_sync_that_carries_it(kind: str) -> None:
    removal = REMOVALS[kind]
    async with Mirror.of(removal.sandbox(), kept_bytes=KEPT_BYTES) as mirror:
        before = {reader: await mirror.sight(removal.email, reader) for reader in READERS}
        assert before["resident"] == before["duckdb"]
        # Twice, so that the answer may come from what was kept.
        assert await mirror.sight(removal.email, "resident") == before["resident"]
        cursors = {reader: await _first_page(mirror, removal, reader) for reader in READERS}

        removal.remove(mirror.sandbox)
        if hasattr(mirror.sandbox, "advance"):
            mirror.sandbox.advance(180)
        await mirror.sync()

        assert await differences(mirror, [removal.email]) == []
        for reader in READERS:
            after = await mirror.sight(removal.email, reader)
            assert _values(before[reader]) - _values(after), "the removal took nothing away"
            seen = {key for name, key in after if name == removal.object}
            assert await _rest(mirror, removal, reader, cursors[reader]) <= seen


def _values(sight: Any) -> set[tuple[Any, str, str]]:
    return {
        (place, field, repr(value)) for place, row in sight.items() for field, value in row.items()
    }


async def _first_page(mirror: Mirror, removal: Removal, reader: str) -> str:
    page = await _page(mirror, removal, reader, None)
    assert page["pageInfo"]["hasNextPage"]
    return str(page["pageInfo"]["endCursor"])


async def _rest(mirror: Mirror, removal: Removal, reader: str, cursor: str) -> set[str]:
    """Return the keys behind a cursor that was given out before."""
    found = (await mirror.objects())[removal.object]
    page = await _page(mirror, removal, reader, cursor)
    return {node[found.key] for node in page["nodes"]} if page else set()


async def _page(mirror: Mirror, removal: Removal, reader: str, after: str | None) -> Any:
    found = (await mirror.objects())[removal.object]
    text = (
        f"query ($after: String, $first: Int) {{ {found.namespace} {{ {found.list_name}"
        f"(first: $first, after: $after) {{ nodes {{ {found.key} }}"
        " pageInfo { hasNextPage endCursor } } } }"
    )
    first = 1 if after is None else 50
    response = await mirror.ask(removal.email, text, reader=reader, after=after, first=first)
    if "errors" in response:
        # An issued cursor may be refused, never followed beyond what is seen.
        assert after is not None, response
        assert response["errors"][0]["extensions"]["code"].startswith("cursor"), response
        return {}
    return response["data"][found.namespace][found.list_name]
