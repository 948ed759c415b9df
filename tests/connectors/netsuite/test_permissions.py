"""Mirrored permissions against what each person's own token shows, and in cases of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.connectors.netsuite.account import CONNECTOR, Driver
from tests.connectors.row_rules import Tables, visible_keys

from firnline.access.model import AnyOf, Everything, FieldIn, Nothing, Person
from firnline.catalog.model import Catalog


class Rows:
    """Permission records as the cache gives them: values of the catalog's types."""

    def __init__(self, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.tables = tables

    def knows(self, object_name: str) -> bool:
        return object_name in self.tables

    def rows(self, object_name: str, **equals: str) -> Sequence[Mapping[str, Any]]:
        return [
            row
            for row in self.tables.get(object_name, ())
            if all(str(row.get(name)) == value for name, value in equals.items())
        ]


def _typed(kind: str, value: Any) -> Any:
    if kind == "bool" and value is not None:
        return value == "T"
    return value


async def _tables(driver: Driver, catalog: Catalog) -> Tables:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for described in catalog.objects:
        found[described.name] = {
            row[described.key]: {
                field.name: _typed(field.type, row.get(field.name)) for field in described.fields
            }
            for row in await driver.records(described)
        }
    return found


async def test_every_person_sees_exactly_the_records_fields_and_values_of_their_own_token(
    driver: Driver,
) -> None:
    catalog = await driver.discover()
    tables = await _tables(driver, catalog)
    rows = Rows({name: list(table.values()) for name, table in tables.items()})
    company = driver.sandbox.store.company
    restricted: set[str] = set()
    for email in driver.sandbox.emails():
        access = CONNECTOR.access(rows, catalog, Person(email.upper()))
        witnessed = await driver.sandbox.read_as(driver.http, email)
        for described in catalog.objects:
            if not described.exposed:
                continue
            granted = access.object(described.name)
            assert granted.readable == (described.name in witnessed), (email, described.name)
            assert granted.reason
            if not granted.readable:
                continue
            keys = visible_keys(granted.rows, described.name, tables, catalog)
            if keys != set(tables[described.name]):
                restricted.add(described.name)
            mirrored = {
                key: {
                    name: value
                    for name, value in tables[described.name][key].items()
                    if value is not None and name not in granted.hidden
                }
                for key in keys
            }
            shown = {
                key: {name: _typed(described.by_name[name].type, v) for name, v in row.items()}
                for key, row in witnessed[described.name].items()
            }
            assert mirrored == shown, (email, described.name)
    # The comparison means something: every restriction kind was at work.
    assert restricted == {"customer", "contact", "invoice", "subsidiary"}
    assert {p.erp for p in company.people} >= {"admin", "controller", "receivables"}


async def test_people_without_an_active_login_are_denied_with_the_reason(driver: Driver) -> None:
    catalog = await driver.discover()
    tables = await _tables(driver, catalog)
    rows = Rows({name: list(table.values()) for name, table in tables.items()})
    for person in driver.sandbox.store.company.people:
        if person.email in driver.sandbox.emails():
            continue
        access = CONNECTOR.access(rows, catalog, Person(person.email))
        assert access.user_key is None
        assert "inactive or has no login" in access.reason
        assert not access.object("customer").readable
    stranger = CONNECTOR.access(rows, catalog, Person("nobody@else.example"))
    assert (stranger.user_key, stranger.objects) == (None, {})
    assert CONNECTOR.access(rows, catalog, Person("")).user_key is None


async def test_change_of_rights_changes_mirror_and_token_alike(acme: Driver) -> None:
    catalog = await acme.discover()
    sandbox = acme.sandbox
    clerk = next(p.email for p in sandbox.store.company.people if p.erp == "receivables")
    token = sandbox.token_for(clerk)
    sandbox.change("employee", str(sandbox.store.employee_of[clerk]), isinactive=True)
    tables = await _tables(acme, catalog)
    rows = Rows({name: list(table.values()) for name, table in tables.items()})

    access = CONNECTOR.access(rows, catalog, Person(clerk))
    answer = await acme.http.get(
        "/services/rest/record/v1/customer", headers={"Authorization": f"Bearer {token}"}
    )

    assert access.user_key is None
    assert answer.status_code == 401


def _employee(key: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "email": "a@b.example", "isinactive": False, "giveaccess": True, **more}


def _held(*roles: dict[str, Any], permissions: Sequence[tuple[str, str, str]]) -> Rows:
    return Rows(
        {
            "employee": [_employee("1", subsidiary="5")],
            "employeerolesforsearch": [{"entity": "1", "role": role["id"]} for role in roles],
            "role": list(roles),
            "rolepermissions": [
                {"role": role, "permkey": key, "permlevel": level}
                for role, key, level in permissions
            ],
            "subsidiary": [
                {"id": "5", "isinactive": False},
                {"id": "6", "isinactive": True},
            ],
        }
    )


def _role(key: str, option: str, **more: Any) -> dict[str, Any]:
    return {
        "id": key,
        "name": f"Role {key}",
        "isinactive": False,
        "subsidiaryoption": option,
        **more,
    }


async def test_two_roles_never_mix_ones_rows_with_the_others_fields(acme: Driver) -> None:
    catalog = await acme.discover()
    rows = _held(
        _role("50", "OWN"),
        _role("51", "SELECTED", subsidiaryrestriction=["6"]),
        permissions=[
            ("50", "LIST_CUSTJOB", "1"),
            ("51", "LIST_CUSTJOB", "VIEW"),
            ("51", "customer.creditlimit", "0"),
        ],
    )

    customer = CONNECTOR.access(rows, catalog, Person("a@b.example")).object("customer")

    own, selected = (FieldIn("subsidiary", frozenset({key})) for key in "56")
    assert customer.rows == AnyOf((own, selected))
    assert list(customer.hidden) == ["creditlimit"]


async def test_unrestricted_role_that_shows_a_field_shows_it_everywhere(acme: Driver) -> None:
    catalog = await acme.discover()
    rows = _held(
        _role("50", "ALL"),
        _role("51", "OWN"),
        permissions=[
            ("50", "LIST_CUSTJOB", "4"),
            ("51", "LIST_CUSTJOB", "1"),
            ("51", "customer.creditlimit", "0"),
        ],
    )

    customer = CONNECTOR.access(rows, catalog, Person("a@b.example")).object("customer")

    assert (customer.rows, customer.hidden) == (Everything(), {})


@pytest.mark.parametrize(
    ("role", "rule"),
    [
        (_role("50", "OWN"), FieldIn("subsidiary", frozenset({"5"}))),
        (_role("50", "ACTIVE"), FieldIn("subsidiary", frozenset({"5"}))),
        (_role("50", "SELECTED"), Nothing()),
        (_role("50", "SOMETHING_NEW"), Nothing()),
        (_role("50", ""), Nothing()),
        (_role("50", "ALL"), Everything()),
    ],
    ids=lambda value: str(value.get("subsidiaryoption", "")) if isinstance(value, dict) else "",
)
async def test_subsidiary_option_restricts_rows_and_an_unknown_one_allows_none(
    acme: Driver, role: dict[str, Any], rule: Any
) -> None:
    catalog = await acme.discover()
    rows = _held(role, permissions=[("50", "LIST_CUSTJOB", "1")])

    access = CONNECTOR.access(rows, catalog, Person("a@b.example"))

    assert access.object("customer").rows == rule


@pytest.mark.parametrize("level", ["0", "", "NONE", None])
async def test_permission_without_a_granting_level_denies(acme: Driver, level: Any) -> None:
    catalog = await acme.discover()
    rows = _held(_role("50", "ALL"), permissions=[("50", "LIST_CUSTJOB", level)])

    customer = CONNECTOR.access(rows, catalog, Person("a@b.example")).object("customer")

    assert not customer.readable
    assert customer.reason == (
        "NetSuite role 'Role 50' has no View permission on Customers (LIST_CUSTJOB)"
    )


async def test_inactive_role_counts_as_none(acme: Driver) -> None:
    catalog = await acme.discover()
    rows = _held({**_role("3", "ALL"), "isinactive": True}, permissions=[])

    assert CONNECTOR.access(rows, catalog, Person("a@b.example")).user_key is None
