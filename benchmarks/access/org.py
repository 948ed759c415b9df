"""A Salesforce org as sync would have left it: records, people, roles and share rows.

Accounts and opportunities are private: what a person sees follows from owners, the role hierarchy,
share rows, and accounts that open their opportunities. Rights are worked out by the real connector.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.synced import write_synced
from firnline.cache.columns import arrow_type
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, Reference

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROJECT = Path(__file__).parent / "project"
TENANT, CONNECTION = "bench", "crm"
RECORDS, ROLES, USERS, SHARES = 1_000_000, 200, 1_000, 10_000
ADMINISTRATOR, REP, MANAGER = "admin@bench.example", "rep@bench.example", "manager@bench.example"
STAGES = ("Prospecting", "Qualification", "Proposal", "Negotiation", "Closed Won", "Closed Lost")
INDUSTRIES = ("Energy", "Finance", "Health", "Media", "Retail", "Transport")
_BRANCHES = 4  # roles below each role
_MANAGERS_ROLE = 2
_SEED = 11


def _fields(**types: str) -> tuple[FieldInfo, ...]:
    return tuple(FieldInfo(name=name, type=kind) for name, kind in types.items())  # type: ignore[arg-type]


def _permissions(name: str, **types: str) -> ObjectInfo:
    return ObjectInfo(name=name, key="Id", exposed=False, fields=_fields(Id="id", **types))


_ACCOUNT = FieldInfo(
    name="AccountId",
    type="id",
    reference=Reference(targets=("Account",), relation="Account", inverse="Opportunities"),
)
_SHARE = {"UserOrGroupId": "id", "RowCause": "string"}
CATALOG = Catalog(
    provider="salesforce",
    objects=(
        ObjectInfo(
            name="Account",
            key="Id",
            fields=_fields(
                Id="id",
                Name="string",
                Industry="string",
                NumberOfEmployees="int",
                OwnerId="id",
            ),
        ),
        ObjectInfo(
            name="Opportunity",
            key="Id",
            fields=(
                *_fields(
                    Id="id",
                    Name="string",
                    StageName="string",
                    Amount="decimal",
                    CloseDate="date",
                    OwnerId="id",
                ),
                _ACCOUNT,
            ),
        ),
        _permissions(
            "User",
            Email="string",
            IsActive="bool",
            ProfileId="id",
            UserRoleId="id",
            Name="string",
            Title="string",
        ),
        _permissions("Profile", Name="string"),
        _permissions("PermissionSet", IsOwnedByProfile="bool", PermissionsViewAllData="bool"),
        _permissions("PermissionSetAssignment", AssigneeId="id", PermissionSetId="id"),
        _permissions(
            "ObjectPermissions", ParentId="id", SobjectType="string", PermissionsRead="bool"
        ),
        _permissions("FieldPermissions", ParentId="id", Field="string", PermissionsRead="bool"),
        _permissions(
            "UserRole",
            ParentRoleId="id",
            OpportunityAccessForAccountOwner="string",
        ),
        _permissions("Group", Type="string", RelatedId="id"),
        _permissions("GroupMember", GroupId="id", UserOrGroupId="id"),
        _permissions("EntityDefinition", QualifiedApiName="string", InternalSharingModel="string"),
        _permissions(
            "AccountShare",
            AccountId="id",
            AccountAccessLevel="string",
            OpportunityAccessLevel="string",
            **_SHARE,
        ),
        _permissions(
            "OpportunityShare", OpportunityId="id", OpportunityAccessLevel="string", **_SHARE
        ),
    ),
)


def tables(records: int) -> dict[str, Any]:
    """Return the org's Arrow tables by object name: a fifth accounts, the rest opportunities."""
    draw = np.random.default_rng(_SEED)
    counts = {"Account": records // 5, "Opportunity": records - records // 5}
    found = {**_people(), **_business(draw, counts), **_shares(draw, counts)}
    return {name: _table(CATALOG.by_name[name], columns) for name, columns in found.items()}


def _table(object_: ObjectInfo, columns: Mapping[str, Any]) -> Any:
    count = len(columns["Id"])
    return pa.table(
        {
            each.name: pa.array(columns.get(each.name, [None] * count)).cast(arrow_type(each))
            for each in object_.fields
        }
    )


def _keys(prefix: str, count: int) -> Any:
    return np.char.add(prefix, np.char.zfill(np.arange(count).astype(str), 8))


def _people() -> dict[str, Any]:
    """Roles are a tree of `_BRANCHES`; users are spread over them, the rep in the last role."""
    roles, users = _keys("00E", ROLES), _keys("005", USERS)
    emails = [f"user{number}@bench.example" for number in range(USERS)]
    role_of = np.arange(USERS) % ROLES
    emails[0], emails[_MANAGERS_ROLE], emails[ROLES - 1] = ADMINISTRATOR, MANAGER, REP
    profiles = ["00eA" if number == 0 else "00eB" for number in range(USERS)]
    sets = {"00eA": "0PSA", "00eB": "0PSB"}
    parents = [None] + [str(roles[(number - 1) // _BRANCHES]) for number in range(1, ROLES)]
    groups = _keys("00G", ROLES)
    return {
        "User": {
            "Id": users,
            "Email": emails,
            "Name": emails,
            "IsActive": [True] * USERS,
            "ProfileId": profiles,
            "UserRoleId": roles[role_of],
        },
        "Profile": {"Id": ["00eA", "00eB"], "Name": ["Administrator", "Sales"]},
        "PermissionSet": {
            "Id": ["0PSA", "0PSB"],
            "IsOwnedByProfile": [True, True],
            "PermissionsViewAllData": [True, False],
        },
        "PermissionSetAssignment": {
            "Id": _keys("0Pa", USERS),
            "AssigneeId": users,
            "PermissionSetId": [sets[profile] for profile in profiles],
        },
        "ObjectPermissions": {
            "Id": ["110A", "110B", "110C", "110D"],
            "ParentId": ["0PSA", "0PSA", "0PSB", "0PSB"],
            "SobjectType": ["Account", "Opportunity"] * 2,
            "PermissionsRead": [True] * 4,
        },
        "FieldPermissions": {"Id": pa.array([], "string")},
        "UserRole": {
            "Id": roles,
            "ParentRoleId": parents,
            "OpportunityAccessForAccountOwner": ["Read"] * ROLES,
        },
        "Group": {"Id": groups, "Type": ["RoleAndSubordinates"] * ROLES, "RelatedId": roles},
        "GroupMember": {"Id": pa.array([], "string")},
        "EntityDefinition": {
            "Id": ["Account", "Opportunity"],
            "QualifiedApiName": ["Account", "Opportunity"],
            "InternalSharingModel": ["Private", "Private"],
        },
    }


def _business(draw: Any, counts: Mapping[str, int]) -> dict[str, Any]:
    accounts, deals = counts["Account"], counts["Opportunity"]
    users, keys = _keys("005", USERS), _keys("001", accounts)
    order = draw.permutation(deals)
    return {
        "Account": {
            "Id": keys,
            "Name": np.char.add("Account ", draw.permutation(accounts).astype(str)),
            "Industry": np.asarray(INDUSTRIES)[draw.integers(0, len(INDUSTRIES), accounts)],
            "NumberOfEmployees": draw.integers(1, 100_000, accounts),
            "OwnerId": users[draw.integers(0, USERS, accounts)],
        },
        "Opportunity": {
            "Id": _keys("006", deals),
            "Name": np.char.add("Deal ", order.astype(str)),
            "StageName": np.asarray(STAGES)[draw.integers(0, len(STAGES), deals)],
            "Amount": order * 137.0 + 5_000,
            "CloseDate": (20_000 + order % 1_500).astype("datetime64[D]"),
            "OwnerId": users[draw.integers(0, USERS, deals)],
            "AccountId": keys[draw.integers(0, accounts, deals)],
        },
    }


def _shares(draw: Any, counts: Mapping[str, int]) -> dict[str, Any]:
    """Half of the share rows are of accounts; a fifth of them go to role groups."""
    half = SHARES // 2
    grantees = np.concatenate([_keys("005", USERS), _keys("00G", ROLES)])
    to = [grantees[draw.integers(0, len(grantees), half)] for _ in range(2)]
    return {
        "AccountShare": {
            "Id": _keys("00r", half),
            "AccountId": _keys("001", counts["Account"])[draw.integers(0, counts["Account"], half)],
            "AccountAccessLevel": ["Read"] * half,
            "OpportunityAccessLevel": np.where(draw.random(half) < 0.5, "Read", "None"),
            "UserOrGroupId": to[0],
            "RowCause": ["Manual"] * half,
        },
        "OpportunityShare": {
            "Id": _keys("00t", half),
            "OpportunityId": _keys("006", counts["Opportunity"])[
                draw.integers(0, counts["Opportunity"], half)
            ],
            "OpportunityAccessLevel": ["Read"] * half,
            "UserOrGroupId": to[1],
            "RowCause": ["Manual"] * half,
        },
    }


async def fill(home: Path, records: int) -> None:
    """Write catalog, records and checkpoints into a home."""
    await write_synced(home, CATALOG, tables(records), tenant=TENANT, connection=CONNECTION, at=NOW)
