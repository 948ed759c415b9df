"""The objects of the generated Salesforce orgs: accounts with their records, a chain of details.

Takes organisation-wide defaults; `salesforce_org` loads structures into orgs of these objects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.oracle.mirror import NOW

from firnline.connectors.registry import load_module
from firnline.sandbox.seed import company

_schema = load_module("salesforce", "sandbox_schema")
_objects = load_module("salesforce", "sandbox_objects")
_setup = load_module("salesforce", "sandbox_setup")

SHARED = ("Account", "Contact", "Opportunity", "Case", "Alpha__c")


def _kept_of_itself() -> tuple[Any, ...]:
    """Return what sync needs of a record's audit fields; the others would only take time."""
    wanted = ("IsDeleted", "SystemModstamp")
    return tuple(field for field in _schema.audit() if field.name in wanted)


@cache
def _base() -> Mapping[str, Any]:
    found: Mapping[str, Any] = _objects.org_objects(company("acme", scale=0.01, now=NOW).style)
    return found


def definitions(given: Mapping[str, str], *, flat: bool) -> dict[str, Any]:
    """Return the objects under these sharing models; Alpha__c without hierarchies where `flat`."""
    models = {**dict.fromkeys(("User", *SHARED), "Private"), **given}
    base = _base()
    text, lookup, owner = _schema.text, _schema.lookup, _schema.owner
    name = text("Name", "Name", 80, secured=False, name_field=True)

    def made(api_name: str, prefix: str, *fields: Any, **more: Any) -> Any:
        label = api_name.removesuffix("__c")
        fields = (_schema.identity(), *fields, *_kept_of_itself())
        model = {"model": models.get(api_name, "ControlledByParent"), **more}
        return _schema.ObjectDef(api_name, label, f"{label}s", prefix, fields, **model)

    def master(field: str, target: str, order: int = 0) -> Any:
        return lookup(field, target, target, None, secured=False, master_order=order)

    account = lookup("AccountId", "Account ID", "Account", "Placeholder", secured=False)
    objects = [
        made("Account", "001", name, text("Industry", "Industry"), owner()),
        made(
            "Contact",
            "003",
            dataclasses.replace(account, children="Contacts"),
            text("LastName", "Last Name", secured=False),
            owner(),
        ),
        made(
            "Opportunity",
            "006",
            dataclasses.replace(account, children="Opportunities"),
            name,
            _schema.number("Amount", "Amount", "currency"),
            owner(),
        ),
        made(
            "Case",
            "500",
            dataclasses.replace(account, children="Cases"),
            text("Subject", "Subject", secured=False),
            owner("Group", "User"),
        ),
        made(
            "Alpha__c",
            "a00",
            name,
            text("Level__c", "Level"),
            owner("Group", "User"),
            hierarchies=not flat,
        ),
        made("Beta__c", "a01", name, master("Alpha__c", "Alpha__c"), text("Note__c", "Note")),
        made("Gamma__c", "a02", name, master("Beta__c", "Beta__c")),
        made(
            "Delta__c",
            "a03",
            name,
            master("Alpha__c", "Alpha__c"),
            master("Account__c", "Account", 1),
        ),
        made(
            "Event",
            "00U",
            lookup("WhoId", "Name ID", "Contact", "Events", secured=False),
            lookup("WhatId", "About ID", "Account Opportunity Alpha__c", "Events", secured=False),
            text("Subject", "Subject", secured=False),
            owner(),
            model="Private",
        ),
    ]
    shares = [
        _objects._opened(_setup.share_object(each))
        for each in objects
        if each.name in SHARED and each.model == "Private"
    ]
    kept = [each for each in base.values() if each.setup or each.name == "Organization"]
    user = dataclasses.replace(base["User"], model=models["User"])
    return {each.name: each for each in (*kept, user, *objects, *shares)}
