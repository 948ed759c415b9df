"""Renders definitions as the vendor's global list and describe, for one user's eyes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from .sandbox_schema import FieldDef, ObjectDef

API_PATH = "/services/data/v66.0"
_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
    "location": "urn:location",
}
_LONG = ("textarea", "address", "location", "multipicklist")


def listed(found: ObjectDef) -> dict[str, Any]:
    """Return the object's entry in the global list."""
    business = not found.setup and not found.share_of
    path = f"{API_PATH}/sobjects/{found.name}"
    return {
        "activateable": False,
        "associateEntityType": "Share" if found.share_of else None,
        "associateParentEntity": found.share_of or None,
        "createable": business,
        "custom": found.custom,
        "customSetting": False,
        "deepCloneable": False,
        "deletable": business and found.name != "User",
        "deprecatedAndHidden": False,
        "feedEnabled": business,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": found.prefix or None,
        "label": found.label,
        "labelPlural": found.plural,
        "layoutable": business,
        "mergeable": found.name in ("Account", "Contact"),
        "mruEnabled": business,
        "name": found.name,
        "queryable": True,
        "replicateable": business,
        "retrieveable": True,
        "searchable": business,
        "triggerable": business,
        "undeletable": business and found.name != "User",
        "updateable": business,
        "urls": {
            "rowTemplate": f"{path}/{{ID}}",
            "describe": f"{path}/describe",
            "sobject": path,
        },
    }


def described(
    found: ObjectDef, visible: Mapping[str, ObjectDef], readable: Container[str]
) -> dict[str, Any]:
    """Return the describe of `found`, with the fields and children that the user may see."""
    return {
        **listed(found),
        "actionOverrides": [],
        "childRelationships": [
            {
                "cascadeDelete": field.master_order is not None,
                "childSObject": child.name,
                "deprecatedAndHidden": False,
                "field": field.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": field.children,
                "restrictedDelete": False,
            }
            for child, field in _children(found, visible.values())
        ],
        "compactLayoutable": not found.setup,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [_field(field) for field in found.fields if field.name in readable],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": [],
        "searchLayoutable": not found.setup,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": f"All {found.plural.lower()}", "name": "everything"}],
    }


def _children(
    found: ObjectDef, visible: Iterable[ObjectDef]
) -> Iterable[tuple[ObjectDef, FieldDef]]:
    for child in visible:
        for field in child.fields:
            if found.name in field.reference_to:
                yield child, field


def _field(field: FieldDef) -> dict[str, Any]:
    defaulted = field.type == "boolean" or field.name == "OwnerId" or not field.writable
    return {
        "aggregatable": field.type not in _LONG,
        "aiPredictionField": False,
        "autoNumber": field.auto_number,
        "byteLength": field.length * 3 if _SOAP.get(field.type) is None else field.length,
        "calculated": field.calculated,
        "calculatedFormula": None,
        "cascadeDelete": field.master_order is not None,
        "caseSensitive": False,
        "compoundFieldName": field.compound,
        "controllerName": None,
        "createable": field.writable,
        "custom": field.custom,
        "defaultValue": False if field.type == "boolean" else None,
        "defaultValueFormula": None,
        "defaultedOnCreate": defaulted,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": 0,
        "displayLocationInDecimal": field.type == "location",
        "encrypted": False,
        "externalId": field.external_id,
        "extraTypeInfo": None,
        "filterable": field.type not in _LONG or field.type == "multipicklist",
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": field.type in ("string", "picklist", "reference", "id", "boolean", "date"),
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": field.type == "id" or field.external_id,
        "inlineHelpText": field.help,
        "label": field.label,
        "length": field.length,
        "mask": None,
        "maskType": None,
        "name": field.name,
        "nameField": field.name_field,
        "namePointing": len(field.reference_to) > 1,
        "nillable": field.nillable,
        "permissionable": field.secured,
        "picklistValues": [
            {
                "active": True,
                "defaultValue": False,
                "label": value,
                "validFor": None,
                "value": value,
            }
            for value in field.values
        ],
        "polymorphicForeignKey": len(field.reference_to) > 1,
        "precision": field.precision,
        "queryByDistance": field.type == "location",
        "referenceTargetField": None,
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship,
        "relationshipOrder": field.master_order,
        "restrictedDelete": False,
        "restrictedPicklist": field.restricted,
        "scale": field.scale,
        "searchPrefilterable": False,
        "soapType": _SOAP.get(field.type, "xsd:string"),
        "sortable": field.type not in _LONG,
        "type": field.type,
        "unique": field.external_id,
        "updateable": field.writable and field.master_order is None,
        "writeRequiresMasterRead": False,
    }
