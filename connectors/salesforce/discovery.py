"""Finds an org's objects and fields: takes list and describe answers, gives the engine a catalog.

Kept are the standard business objects of `_BUSINESS`, every custom object, and, not exposed, the
setup and share records from which `sharing` computes who may read what.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from firnline.catalog.model import (
    Catalog,
    CompoundInfo,
    EnumValue,
    FieldInfo,
    ObjectInfo,
    ObjectSupports,
    Reference,
    ScalarName,
)
from firnline.connectors.protocol import Connector, Request, Steps, expect

API = "/services/data/v66.0"

_BUSINESS = (
    "User",
    "Account",
    "Contact",
    "Opportunity",
    "Event",
    "Task",
    "Lead",
    "Case",
    "Campaign",
    "Product2",
    "Contract",
    "Order",
    "OrderItem",
    "Quote",
    "QuoteLineItem",
    "OpportunityLineItem",
    "Asset",
)
# Setup records: only what the mirror reads, for PermissionSet alone has some 400 columns.
_SETUP: Mapping[str, tuple[str, ...]] = {
    "Profile": ("Id", "Name"),
    "PermissionSet": (
        "Id",
        "Name",
        "Label",
        "IsOwnedByProfile",
        "ProfileId",
        "PermissionSetGroupId",
        "PermissionsViewAllData",
        "PermissionsModifyAllData",
        "PermissionsViewAllUsers",
        "PermissionsActivitiesAccess",
    ),
    # A group of sets is assigned through the set that the vendor adds up for it, less what the
    # group mutes: its rows of ObjectPermissions and FieldPermissions say everything.
    "PermissionSetAssignment": ("Id", "AssigneeId", "PermissionSetId", "IsActive"),
    "ObjectPermissions": (
        "Id",
        "ParentId",
        "SobjectType",
        "PermissionsRead",
        "PermissionsViewAllRecords",
        "PermissionsModifyAllRecords",
        "PermissionsViewAllFields",
    ),
    "FieldPermissions": ("Id", "ParentId", "SobjectType", "Field", "PermissionsRead"),
    # Read to explain alone: which sets a group holds, and which of them mute.
    "PermissionSetGroup": ("Id", "DeveloperName", "MasterLabel"),
    "PermissionSetGroupComponent": ("Id", "PermissionSetGroupId", "PermissionSetId"),
    "MutingPermissionSet": ("Id", "DeveloperName", "MasterLabel"),
    "UserRole": (
        "Id",
        "Name",
        "ParentRoleId",
        "OpportunityAccessForAccountOwner",
        "CaseAccessForAccountOwner",
        "ContactAccessForAccountOwner",
    ),
    "Group": ("Id", "DeveloperName", "Name", "Type", "RelatedId", "DoesIncludeBosses"),
    "GroupMember": ("Id", "GroupId", "UserOrGroupId"),
    "EntityDefinition": ("QualifiedApiName", "InternalSharingModel"),
}
# The setting that names custom objects without "Grant Access Using Hierarchies": no API tells it.
FLAT = "without_hierarchies"
_NEVER = ("base64", "address", "location")  # blobs, and compounds whose parts are fields themselves
_TYPES: Mapping[str, ScalarName] = {
    "id": "id",
    "reference": "id",
    "boolean": "bool",
    "int": "int",
    "long": "long",
    "double": "decimal",
    "currency": "decimal",
    "percent": "decimal",
    "date": "date",
    "datetime": "timestamp",
    "time": "time",
    "multipicklist": "strings",
    "anyType": "json",
    "complexvalue": "json",
    "json": "json",
}
# Standard children of a record of which they take the visibility; customs say so in describe.
_PARENTS = {
    "Contact": "AccountId",
    "OpportunityLineItem": "OpportunityId",
    "QuoteLineItem": "QuoteId",
    "Quote": "OpportunityId",
    "OrderItem": "OrderId",
    "Order": "AccountId",
    "Contract": "AccountId",
    "Asset": "AccountId",
}

Describe = Mapping[str, Any]


def discovery(connector: Connector, settings: Mapping[str, str]) -> Steps[Catalog]:
    """List, choose, ask for the sharing models, describe; return the catalog."""
    listing = Request.get(f"{API}/sobjects")
    (answer,) = yield [listing]
    listed = {found["name"]: found for found in expect(connector, listing, answer)["sobjects"]}
    exposed = [name for name, found in listed.items() if _is_business(found)]
    models = Request.get(
        f"{API}/query",
        q="SELECT QualifiedApiName, InternalSharingModel FROM EntityDefinition WHERE "  # noqa: S608
        + _in_list("QualifiedApiName", exposed),
    )
    setup = [name for name in _SETUP if name in listed]
    requests = [Request.get(f"{API}/sobjects/{name}/describe") for name in (*exposed, *setup)]
    if "EntityDefinition" in listed:
        requests.append(models)
    answers = yield requests
    parsed = [expect(connector, *pair) for pair in zip(requests, answers, strict=True)]
    sharing = parsed.pop()["records"] if "EntityDefinition" in listed else []
    shares = [name for name in _share_objects(sharing) if name in listed]
    requests = [Request.get(f"{API}/sobjects/{name}/describe") for name in shares]
    answers = (yield requests) if requests else []
    parsed += [expect(connector, *pair) for pair in zip(requests, answers, strict=True)]
    return _catalog(parsed, exposed, frozenset(settings.get(FLAT, "").split(",")))


def _is_business(found: Mapping[str, Any]) -> bool:
    if not found["queryable"] or found["deprecatedAndHidden"]:
        return False
    name = str(found["name"])
    own = found["custom"] and not found["customSetting"] and name.endswith("__c")
    return bool(own) or name in _BUSINESS


def share_object(name: str) -> str:
    """Return the name of the object that holds the share rows of `name`."""
    return f"{name[:-1]}Share" if name.endswith("__c") else f"{name}Share"


def _share_objects(models: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        share_object(found["QualifiedApiName"])
        for found in models
        if found["InternalSharingModel"] == "Private"
    ]


def _catalog(
    describes: Sequence[Describe], exposed: Sequence[str], flat: frozenset[str]
) -> Catalog:
    children = {
        (child["childSObject"], child["field"], parent["name"]): child["relationshipName"]
        for parent in describes
        for child in parent.get("childRelationships") or ()
        if child["relationshipName"] and not child["deprecatedAndHidden"]
    }
    objects = [
        _exposed_object(found, frozenset(exposed), children, flat)
        if found["name"] in exposed
        else _permission_object(found, exposed)
        for found in describes
    ]
    return Catalog(
        provider="salesforce", objects=tuple(sorted(objects, key=lambda found: found.name))
    )


def _exposed_object(
    found: Describe,
    exposed: frozenset[str],
    children: Mapping[tuple[str, str, str], str],
    flat: frozenset[str],
) -> ObjectInfo:
    raw_fields = [field for field in found["fields"] if not field["deprecatedAndHidden"]]
    names = {field["name"] for field in raw_fields}
    fields = tuple(
        _field(field, found["name"], exposed, children)
        for field in raw_fields
        if field["type"] not in _NEVER and field["name"] != "IsDeleted"
    )
    return ObjectInfo(
        name=found["name"],
        key="Id",
        label=found["label"],
        label_plural=found["labelPlural"],
        custom=found["custom"],
        cursor="SystemModstamp" if "SystemModstamp" in names else "",
        fields=fields,
        compounds=tuple(_compounds(raw_fields, {field.name for field in fields})),
        supports=ObjectSupports(
            query=found["queryable"],
            create=found["createable"],
            update=found["updateable"],
            upsert=found["createable"] and found["updateable"],
            delete=found["deletable"],
            bulk=True,
            changes=found.get("triggerable", False),
            deletes="IsDeleted" in names,
        ),
        extra={
            "secured": _secured(raw_fields),
            "parents": ",".join(_parents(found["name"], raw_fields)),
            # Standard objects always grant access using hierarchies.
            "hierarchies": "off" if found["custom"] and found["name"] in flat else "",
        },
    )


def _compounds(
    raw_fields: Sequence[Mapping[str, Any]], kept: Collection[str]
) -> Iterator[CompoundInfo]:
    """Yield addresses, geolocations and people's names, whose parts name them in describe."""
    parts: dict[str, dict[str, str]] = {}
    for field in raw_fields:
        if field.get("compoundFieldName") and field["name"] in kept:
            compound = field["compoundFieldName"]
            parts.setdefault(compound, {})[_part(compound, field["name"])] = field["name"]
    for field in raw_fields:
        if field["name"] in parts:
            yield CompoundInfo(
                name=field["name"],
                label=field["label"],
                source_type=field["type"],
                parts=parts[field["name"]],
            )


def _part(compound: str, name: str) -> str:
    """Return what a part is called in the values of a compound that the API gives.

    BillingPostalCode is the postalCode of BillingAddress, Site__Latitude__s the latitude of
    Site__c, FirstName the firstName of Name.
    """
    if compound.endswith("__c"):
        bare = name.removeprefix(compound[:-1]).removesuffix("__s")
    else:
        bare = name.removeprefix(compound.removesuffix("Address")) or name
    return bare[:1].lower() + bare[1:]


def _secured(raw_fields: Sequence[Mapping[str, Any]]) -> str:
    """Return the fields under field-level security, as "Field=the field that security names".

    Parts of an address or a geolocation stand under their compound's permission.
    """
    by_name = {field["name"]: field for field in raw_fields}
    pairs = []
    for field in raw_fields:
        compound = by_name.get(field.get("compoundFieldName") or "")
        is_part = compound is not None and compound["type"] in ("address", "location")
        governing = compound if compound is not None and is_part else field
        if governing["permissionable"]:
            pairs.append(f"{field['name']}={governing['name']}")
    return ",".join(pairs)


def _parents(name: str, raw_fields: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the reference fields whose targets decide a record's visibility, if it has none."""
    if name in _PARENTS:
        return [_PARENTS[name]]
    return [
        field["name"]
        for field in raw_fields
        if field["type"] == "reference" and field.get("relationshipOrder") is not None
    ]


def _field(
    field: Mapping[str, Any],
    owner: str,
    exposed: frozenset[str],
    children: Mapping[tuple[str, str, str], str],
) -> FieldInfo:
    targets = tuple(target for target in field["referenceTo"] if target in exposed)
    digits = field["precision"] or 18
    return FieldInfo(
        name=field["name"],
        type=_TYPES.get(field["type"], "string"),
        label=field["label"],
        source_type=field["type"],
        description=field["inlineHelpText"] or "",
        custom=field["custom"],
        nullable=field["nillable"],
        required_on_create=(
            field["createable"] and not field["nillable"] and not field["defaultedOnCreate"]
        ),
        createable=field["createable"],
        updateable=field["updateable"],
        filterable=field["filterable"],
        sortable=field["sortable"],
        unique=field["unique"],
        external_id=field["externalId"],
        calculated=field["calculated"],
        default=None if field["defaultValue"] is None else str(field["defaultValue"]),
        precision=max(digits, field["scale"]),
        scale=field["scale"],
        length=field["length"] or None,
        values=tuple(
            EnumValue(value=value["value"], label=value["label"] or "", active=value["active"])
            for value in field["picklistValues"]
        ),
        reference=_reference(field, owner, targets, children),
    )


def _reference(
    field: Mapping[str, Any],
    owner: str,
    targets: tuple[str, ...],
    children: Mapping[tuple[str, str, str], str],
) -> Reference | None:
    """Return where a lookup leads; its way back is the child relationship that the target names."""
    if not targets or not field["relationshipName"]:
        return None
    inverses = {children.get((owner, field["name"], target), "") for target in targets}
    # A polymorphic lookup has one way back only when all its targets call it the same.
    inverse = inverses.pop() if len(inverses) == 1 else ""
    return Reference(targets=targets, relation=field["relationshipName"], inverse=inverse)


def _permission_object(found: Describe, exposed: Sequence[str]) -> ObjectInfo:
    """Return a setup or share object: re-read in full, for its deletions leave no trace."""
    name = found["name"]
    wanted = _SETUP.get(name)
    fields = tuple(
        _field(field, name, frozenset(), {}).model_copy(update={"createable": False})
        for field in found["fields"]
        if (wanted is None or field["name"] in wanted)
        and field["type"] not in _NEVER
        and field["name"] != "IsDeleted"
    )
    return ObjectInfo(
        name=name,
        key="QualifiedApiName" if name == "EntityDefinition" else "Id",
        label=found["label"],
        label_plural=found["labelPlural"],
        custom=found["custom"],
        exposed=False,
        fields=fields,
        extra={"where": _permission_filter(name, exposed)},
    )


def _permission_filter(name: str, exposed: Sequence[str]) -> str:
    """Return the condition that keeps the mirror small: owners stand on the records already."""
    if name == "EntityDefinition":
        return _in_list("QualifiedApiName", exposed)
    if name in ("ObjectPermissions", "FieldPermissions"):
        return f"{_in_list('SobjectType', exposed)} AND PermissionsRead = true"
    if name == "PermissionSetAssignment":
        return "Assignee.IsActive = true"
    return "" if name in _SETUP else "RowCause != 'Owner'"


def _in_list(field: str, names: Iterable[str]) -> str:
    quoted = ",".join(f"'{name}'" for name in sorted(names))
    return f"{field} IN ({quoted})"
