"""The sandbox's custom fields, and the custom object of tenants whose style names one.

Takes the `Shaper` of an account, fills its store's field definitions and the object's records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firnline.sandbox.world import Account

from . import sandbox_templates as given
from .sandbox_store import CUSTOM, Row, Table
from .sandbox_wire import stamp

if TYPE_CHECKING:
    from .sandbox_shape import Shaper

ULID_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SEGMENTS = {
    "enterprise": "Enterprise",
    "mid_market": "Mid-market",
    "small_business": "Small business",
}


def define_fields(shaper: Shaper) -> None:
    """Add ticket, user and organization fields."""
    at = shaper.opened
    ticket_fields = [
        given.ticket_definition(
            shaper.id("field", number), kind, title, at, removable=False,
            **({"system_field_options": [{"name": one.title(), "value": one} for one in values]}
               if values else {}),
        )
        for number, (kind, title, values) in enumerate(given.SYSTEM_TICKET_FIELDS)
    ]  # fmt: skip
    areas = given.options(shaper.product_areas, shaper.id("field", 1000))
    ticket_fields += [
        given.ticket_definition(
            shaper.id("field", 20), "tagger", "Product area", at, custom_field_options=areas
        ),
        given.ticket_definition(shaper.id("field", 21), "checkbox", "Escalated", at),
        given.ticket_definition(shaper.id("field", 22), "date", "Promised until", at),
    ]
    if shaper.asset_key:
        ticket_fields.append(
            given.ticket_definition(
                shaper.id("field", 23),
                "lookup",
                "Asset",
                at,
                relationship_target_type=f"zen:custom_object:{shaper.asset_key}",
                relationship_filter={"all": [], "any": []},
            )
        )
    shaper.store.fields["ticket_fields"] = ticket_fields
    shaper.store.fields["user_fields"] = [
        keyed(shaper, 30, "text", "job_title", "Job title"),
        keyed(shaper, 31, "checkbox", "is_decision_maker", "Is decision maker"),
    ]
    shaper.store.fields["organization_fields"] = organization_fields(shaper)


def organization_fields(shaper: Shaper) -> list[Row]:
    """Return the organization fields, among them the link to the CRM where it is one."""
    tiers = {f"tier_{name}": title for name, title in SEGMENTS.items()}
    choices = given.options(tiers, shaper.id("field", 900))
    found = [
        keyed(
            shaper,
            40,
            "dropdown",
            "support_tier",
            "Support tier",
            custom_field_options=choices,
        ),
        keyed(shaper, 41, "date", "customer_since", "Customer since"),
    ]
    link = shaper.style.get("helpdesk.account_link", "")
    if link.startswith("organization_fields."):
        key = link.removeprefix("organization_fields.")
        found.append(keyed(shaper, 42, "text", key, "CRM account id"))
    return found


def keyed(shaper: Shaper, number: int, kind: str, key: str, title: str, **more: Any) -> Row:
    """Return a definition whose values live under a key."""
    identity = shaper.id("field", number)
    return given.definition(identity, kind, title, shaper.opened, key=key, system=False, **more)


def define_custom_object(shaper: Shaper, organizations: Mapping[int, int]) -> None:
    """Add the tenant's custom object, when its style names one: what a customer has bought."""
    key = shaper.asset_key
    if not key:
        return
    title = key.replace("_", " ").capitalize()
    shaper.store.custom_objects.append(
        {
            "key": key,
            "title": title,
            "raw_title": title,
            "title_pluralized": f"{title}s",
            "raw_title_pluralized": f"{title}s",
            "description": "What a customer has in use",
            "raw_description": "What a customer has in use",
            "include_in_list_view": True,
            "created_at": shaper.opened,
            "updated_at": shaper.opened,
            "created_by_user_id": None,
            "updated_by_user_id": None,
        }
    )
    states = {"in_use": "In use", "retired": "Retired", "in_repair": "In repair"}
    state_options = given.options(states, shaper.id("field", 800))
    shaper.store.fields[CUSTOM + key] = [
        keyed(
            shaper, 50, "lookup", "organization", "Organization",
            relationship_target_type="zen:organization", relationship_filter={},
        ),
        keyed(shaper, 51, "dropdown", "state", "State", custom_field_options=state_options),
        keyed(shaper, 52, "date", "installed_on", "Installed on"),
        keyed(shaper, 53, "integer", "seats", "Seats"),
        keyed(shaper, 54, "decimal", "annual_value", "Annual value"),
    ]  # fmt: skip
    made = shaper.table(CUSTOM + key, {}, f"custom_objects/{key}/records")
    for at, organization in organizations.items():
        for copy in range(shaper.draw("assets", at, 3)):
            _asset(shaper, made, at * 10 + copy, shaper.company.accounts[at], organization)


def _asset(shaper: Shaper, made: Table, number: int, account: Account, organization: int) -> None:
    """Add one record of the custom object."""
    moment = shaper.settled(account.created_at)
    values = {
        # The vendor holds lookup values as text.
        "organization": str(organization),
        "state": ("in_use", "in_use", "in_use", "retired", "in_repair")[
            shaper.draw("state", number, 5)
        ],
        "installed_on": account.created_at.date().isoformat(),
        "seats": 5 + shaper.draw("seats", number, 400),
        "annual_value": f"{1000 + shaper.draw('value', number, 90000)}.50",
    }
    row = {
        "custom_object_key": shaper.asset_key,
        "name": f"{account.name} #{number % 10 + 1}",
        "external_id": f"AST-{number:06d}",
        "custom_object_fields": values,
        "created_by_user_id": None,
        "updated_by_user_id": None,
        "photo": None,
        "created_at": stamp(account.created_at),
        "updated_at": stamp(account.created_at),
    }
    made.put(ulid(moment * 1000, shaper.draw("ulid", number, 1 << 32), number), row, moment)


def ulid(milliseconds: int, noise: int, number: int) -> str:
    """Return a ULID: 48 bits of time, 80 bits that a number makes unique."""
    value = (milliseconds << 80) | (noise << 40) | number
    return "".join(ULID_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
