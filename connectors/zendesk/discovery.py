"""Turns Zendesk's definitions of custom fields and objects into a catalog.

Takes the JSON of ticket_fields, user_fields, organization_fields, custom_roles, brand_agents,
custom_objects and custom object fields; gives `ObjectInfo`s to `connector.Zendesk.discover`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firnline.catalog.model import (
    EnumValue,
    FieldInfo,
    ObjectInfo,
    Reference,
    ScalarName,
)

from . import objects

Row = Mapping[str, Any]
# Ticket fields that are columns of every ticket, by the definition's type.
SYSTEM_FIELDS = {
    "subject": "subject",
    "description": "description",
    "status": "status",
    "tickettype": "type",
    "priority": "priority",
    "basic_priority": "priority",
    "assignee": "assignee_id",
    "group": "group_id",
    "custom_status": "custom_status_id",
}
TYPES: Mapping[str, ScalarName] = {
    "text": "string",
    "textarea": "string",
    "regexp": "string",
    "partialcreditcard": "string",
    "checkbox": "bool",
    "date": "date",
    "integer": "long",
    "decimal": "decimal",
    "tagger": "string",
    "dropdown": "string",
    "multiselect": "strings",
    "lookup": "id",
}
TARGETS = {
    "zen:user": "users",
    "zen:organization": "organizations",
    "zen:ticket": "tickets",
}
NESTED = {
    "users": "user_fields",
    "organizations": "organization_fields",
}
CUSTOM_OBJECT = "custom_object_"
CUSTOM_OBJECT_TARGET = "zen:custom_object:"
# A ticket is never shown with these statuses in its field's options, yet carries them.
EXTRA_STATUSES = ("new", "closed")


def catalog_objects(
    *,
    ticket_fields: Sequence[Row],
    user_fields: Sequence[Row],
    organization_fields: Sequence[Row],
    custom_roles: Sequence[Row] | None,
    brand_agents: Sequence[Row] | None,
    custom_objects: Sequence[Row],
    custom_object_fields: Mapping[str, Sequence[Row]],
) -> tuple[ObjectInfo, ...]:
    """Return every object of the account.

    `custom_roles` and `brand_agents` are None where the plan has none.
    """
    known = {*TARGETS.values(), *(CUSTOM_OBJECT + str(row["key"]) for row in custom_objects)}
    found = [
        _tickets(ticket_fields, known),
        _keyed("users", objects.USERS, user_fields, known),
        _keyed("organizations", objects.ORGANIZATIONS, organization_fields, known),
        objects.standard("groups", objects.GROUPS, read="list", path="/api/v2/groups"),
        _permission("group_memberships", objects.GROUP_MEMBERSHIPS),
    ]
    if custom_roles is not None:
        found.append(_permission("custom_roles", objects.CUSTOM_ROLES))
    if brand_agents is not None:
        found.append(_permission("brand_agents", objects.BRAND_AGENTS))
    if custom_roles is None or any(_by_organization(role) for role in custom_roles):
        # One row a customer's person: read only where somebody's tickets depend on them.
        found.append(_permission("organization_memberships", objects.ORGANIZATION_MEMBERSHIPS))
    found += [
        _custom_object(row, custom_object_fields[str(row["key"])], known) for row in custom_objects
    ]
    return tuple(found)


def _by_organization(role: Row) -> bool:
    configuration = role.get("configuration") or {}
    return configuration.get("ticket_access") == "within-organization"


def _permission(name: str, lines: str) -> ObjectInfo:
    return objects.standard(name, lines, read="list", path=f"/api/v2/{name}", exposed=False)


def _tickets(definitions: Sequence[Row], known: Iterable[str]) -> ObjectInfo:
    active = [row for row in definitions if row.get("active", True)]
    custom = [
        _custom_field("tickets", f"field_{row['id']}", f"field_{row['id']}_record", row, known)
        for row in active
        if row["type"] not in SYSTEM_FIELDS
    ]
    made = objects.standard(
        "tickets",
        objects.TICKETS,
        read="cursor",
        path="/api/v2/incremental/tickets/cursor",
        cursor="updated_at",
        custom=tuple(custom),
    )
    values = {
        SYSTEM_FIELDS[row["type"]]: _values(row)
        for row in active
        if row.get("system_field_options") and row["type"] in SYSTEM_FIELDS
    }
    if "status" in values:
        stated = {one.value for one in values["status"]}
        values["status"] += tuple(
            EnumValue(value=status, label=status.capitalize())
            for status in EXTRA_STATUSES
            if status not in stated
        )
    fields = tuple(
        field.model_copy(update={"values": values[field.name]}) if field.name in values else field
        for field in made.fields
    )
    return made.model_copy(update={"fields": fields})


def _keyed(name: str, lines: str, definitions: Sequence[Row], known: Iterable[str]) -> ObjectInfo:
    """Return users or organizations with the custom fields that live under keys."""
    read = "time" if name == "organizations" else "cursor"
    path = f"/api/v2/incremental/{name}" + ("" if read == "time" else "/cursor")
    made = objects.standard(name, lines, read=read, path=path, cursor="updated_at")
    return _with_keys(made, NESTED[name], definitions, known)


def _custom_object(row: Row, definitions: Sequence[Row], known: Iterable[str]) -> ObjectInfo:
    key = str(row["key"])
    name = CUSTOM_OBJECT + key
    made = ObjectInfo(
        name=name,
        key="id",
        label=str(row.get("title") or key),
        label_plural=str(row.get("title_pluralized") or row.get("title") or key),
        description=str(row.get("description") or ""),
        custom=True,
        cursor="updated_at",
        fields=tuple(objects.fields(objects.CUSTOM_OBJECT, inverse_of=name)),
        supports=objects.CHANGES,
        extra={
            "read": "cursor",
            "path": f"/api/v2/incremental/custom_objects/{key}/cursor",
            "rows": "custom_object_records",
            "custom_object": key,
        },
    )
    own = [field for field in definitions if not str(field["key"]).startswith("standard::")]
    return _with_keys(made, "custom_object_fields", own, known)


def _with_keys(
    made: ObjectInfo, nested: str, definitions: Sequence[Row], known: Iterable[str]
) -> ObjectInfo:
    """Return `made` with custom fields; wire keys that are no names are kept in `extra`."""
    taken = {field.name for field in made.fields}
    taken |= {field.reference.relation for field in made.fields if field.reference}
    fields: list[FieldInfo] = []
    extra = {**made.extra, "nested": nested}
    for row in definitions:
        if not row.get("active", True):
            continue
        key = str(row["key"])
        name = _free(f"{nested}_{legal(key)}", taken)
        relation = legal(key) if re.match(r"[A-Za-z]", key) else f"{name}_record"
        relation = _free(relation, taken)
        taken |= {name, relation}
        if name != f"{nested}_{key}":
            extra[f"key:{key}"] = name
        fields.append(_custom_field(made.name, name, relation, row, known))
    return made.model_copy(update={"fields": (*made.fields, *fields), "extra": extra})


def legal(key: str) -> str:
    """Return a wire key as the end of a GraphQL name."""
    return re.sub(r"[^_0-9A-Za-z]", "_", key)


def _free(name: str, taken: Iterable[str]) -> str:
    held = set(taken)
    if name not in held:
        return name
    return next(f"{name}_{n}" for n in range(2, len(held) + 3) if f"{name}_{n}" not in held)


def _custom_field(
    object_name: str, name: str, relation: str, row: Row, known: Iterable[str]
) -> FieldInfo:
    kind = str(row["type"])
    reference = None
    if kind == "lookup":
        target = _target(str(row.get("relationship_target_type") or ""))
        if target in known:
            inverse = f"{object_name}_by_{relation.removesuffix('_record')}"
            reference = Reference(targets=(target,), relation=relation, inverse=inverse)
    return FieldInfo(
        name=name,
        type=TYPES.get(kind, "json"),
        label=str(row.get("title") or name),
        source_type=kind,
        description=str(row.get("description") or ""),
        custom=True,
        precision=28,
        scale=6,
        values=_values(row),
        reference=reference,
    )


def _target(wire: str) -> str:
    if wire.startswith(CUSTOM_OBJECT_TARGET):
        return CUSTOM_OBJECT + wire.removeprefix(CUSTOM_OBJECT_TARGET)
    return TARGETS.get(wire, "")


def _values(row: Row) -> tuple[EnumValue, ...]:
    options = row.get("custom_field_options") or row.get("system_field_options") or ()
    return tuple(
        EnumValue(value=str(option["value"]), label=str(option.get("name") or option["value"]))
        for option in options
    )
