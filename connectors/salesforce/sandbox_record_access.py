"""UserRecordAccess: what one user may do with single records, asked by SOQL.

Takes a parsed query and who asks; answers from the org's own decisions about the user asked about.
Of what the object has at the vendor only reading is answered: this org knows no other rights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import sandbox_soql as soql
from .sandbox_describe import API_PATH
from .sandbox_org import full_id
from .sandbox_query import Result
from .sandbox_rights import Viewer

USER_RECORD_ACCESS = "userrecordaccess"
_RECORDS_MAX = 200
_COLUMNS = {"recordid": "RecordId", "hasreadaccess": "HasReadAccess"}


def record_access(query: soql.Query, viewer: Viewer, viewer_of: Callable[[str], Viewer]) -> Result:
    """Return one row per record asked about; raises SoqlError."""
    names = [_column(item) for item in query.select]
    user, keys = _asked(query.where)
    if len(keys) > _RECORDS_MAX:
        raise soql.SoqlError(
            "EXCEEDED_ID_LIMIT", f"UserRecordAccess takes at most {_RECORDS_MAX} record ids"
        )
    if not viewer.may_ask_about(user):
        raise soql.SoqlError("INSUFFICIENT_ACCESS", "insufficient access rights on user id")
    about = viewer_of(user) if viewer.knows(user) else None
    rows = [
        {"RecordId": key, "HasReadAccess": about is not None and about.may_see(key)}
        for key in dict.fromkeys(map(_whole, keys))
    ]

    def wire(row: dict[str, Any]) -> dict[str, Any]:
        path = f"{API_PATH}/sobjects/UserRecordAccess/{row['RecordId']}"
        attributes = {"type": "UserRecordAccess", "url": path}
        return {"attributes": attributes, **{name: row[name] for name in names}}

    return Result(rows, len(rows), wire)


def _column(item: soql.Column | soql.Aggregate) -> str:
    path = item.path if isinstance(item, soql.Column) else ()
    name = _COLUMNS.get(path[0].lower()) if len(path) == 1 else None
    if name is None:
        raise soql.SoqlError("INVALID_FIELD", "No such column on sobject of type UserRecordAccess")
    return name


def _asked(where: soql.Condition | None) -> tuple[str, list[str]]:
    """Return the one user and the records; the vendor takes no other form."""
    parts = where.conditions if isinstance(where, soql.Junction) and where.every else (where,)
    users: list[str] = []
    keys: list[str] = []
    for part in parts:
        name = _name(part)
        if isinstance(part, soql.Comparison) and part.sign == "=" and name == "userid":
            users.append(_whole(part.value.text))
        elif isinstance(part, soql.Comparison) and part.sign == "=" and name == "recordid":
            keys.append(part.value.text)
        elif isinstance(part, soql.Membership) and not part.negated and name == "recordid":
            keys += [value.text for value in part.values]
        else:
            users.append("")
    if len(users) != 1 or not users[0] or not keys:
        raise soql.SoqlError(
            "MALFORMED_QUERY", "UserRecordAccess is asked by one UserId and by RecordId"
        )
    return users[0], keys


def _name(part: soql.Condition | None) -> str:
    operand = getattr(part, "operand", None)
    return operand.path[0].lower() if isinstance(operand, soql.Column) else ""


def _whole(key: str) -> str:
    return full_id(key) if len(key) == 15 else key
