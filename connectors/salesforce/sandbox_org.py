"""The org's store: records by object, ids, stamps, and the changes that tests make.

`sandbox_people` and `sandbox_records` fill it; rights, queries and the REST API read it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .sandbox_schema import ObjectDef

Row = dict[str, Any]
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class NoSuchRecordError(LookupError):
    """A test named a record that the org does not have."""


def full_id(short: str) -> str:
    """Return the 18-character form of a 15-character id: three letters say which are capitals."""
    suffix = ""
    for start in (0, 5, 10):
        chunk = short[start : start + 5]
        suffix += _SUFFIX[sum(1 << place for place, mark in enumerate(chunk) if mark.isupper())]
    return short + suffix


def wire_time(moment: datetime) -> str:
    """Return 2024-09-10T13:57:45.000+0000."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


class Org:
    """One org. `version` moves with every change, so that what is computed from it can lapse."""

    def __init__(
        self,
        objects: Mapping[str, ObjectDef],
        now: datetime,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objects = objects
        self.rows: dict[str, dict[str, Row]] = {name: {} for name in objects}
        self.removed: list[tuple[str, str, str]] = []  # object, id, when
        self.version = 0
        self.user_ids: dict[str, str] = {}
        self.id = full_id("00D5g000004TenA")
        self._blank: dict[str, Row] = {
            name: {
                field.name: False if field.type == "boolean" else None
                for field in found.fields
                if field.type not in ("address", "location")
            }
            for name, found in objects.items()
        }
        self._counter = itertools.count(1)
        self.started = now
        self._monotonic = monotonic
        self._started_monotonic = monotonic()

    def now(self) -> datetime:
        """Return the org's present: it starts at the given moment and runs on."""
        return self.started + timedelta(seconds=self._monotonic() - self._started_monotonic)

    def new_id(self, name: str) -> str:
        """Return a fresh 18-character id with the object's prefix."""
        prefix = self.objects[name].prefix or "02c"
        number = next(self._counter)
        tail = ""
        for _ in range(6):
            number, digit = divmod(number, 62)
            tail = _DIGITS[digit] + tail
        return full_id(f"{prefix}5g0000{tail}"[:15])

    def put(self, name: str, key: str = "", **fields: Any) -> str:
        """Store a record as given, missing fields empty; return its key."""
        found = self.objects[name]
        row = dict(self._blank[name])
        key = key or (self.new_id(name) if found.key == "Id" else str(fields[found.key]))
        if found.key == "Id":
            row["Id"] = key
        row.update(fields)
        self.rows[name][key] = row
        return key

    def row(self, name: str, key: str) -> Row:
        """Return a record; raises NoSuchRecordError."""
        if name not in self.rows or key not in self.rows[name]:
            raise NoSuchRecordError(f"the org has no {name} {key}")
        return self.rows[name][key]

    def live(self, name: str) -> Iterator[Row]:
        """Yield the records that are not in the recycle bin."""
        return (row for row in self.rows[name].values() if not row.get("IsDeleted"))

    def change(self, name: str, key: str, **fields: Any) -> None:
        """Change fields as a user's edit would: the stamps move."""
        # A copy, so that a query in flight keeps what it had found.
        row = {**self.row(name, key), **fields, **self._stamps(name)}
        self.rows[name][key] = row
        if "OwnerId" in fields:
            self._own(name, row)
        self.version += 1

    def add(self, name: str, **fields: Any) -> str:
        """Create a record as a user would; return its key."""
        stamps = self._stamps(name)
        created = (
            {"CreatedDate": stamps["LastModifiedDate"]} if "LastModifiedDate" in stamps else {}
        )
        key = self.put(name, **{**stamps, **created, **fields})
        self._own(name, self.rows[name][key])
        self.version += 1
        return key

    def delete(self, name: str, key: str) -> None:
        """Put a record and what hangs on it into the recycle bin; setup records just vanish."""
        row = self.row(name, key)
        self.version += 1
        if "IsDeleted" not in row or self.objects[name].share_of:
            del self.rows[name][key]
            return
        stamps = self._stamps(name)
        self.rows[name][key] = {**row, "IsDeleted": True, **stamps}
        self.removed.append((name, key, stamps["SystemModstamp"]))
        for share in [each for each in self._shares(name) if key in each.values()]:
            del self.rows[self._share_name(name)][share["Id"]]
        for child, field in self._dependents(name):
            for each in [found for found in self.live(child) if found[field] == key]:
                self.delete(child, each["Id"])

    def _stamps(self, name: str) -> dict[str, str]:
        moment = wire_time(self.now())
        names = ("LastModifiedDate", "SystemModstamp")
        return {each: moment for each in names if self.objects[name].has(each)}

    def _dependents(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield the children that are deleted with their parent."""
        for child in self.objects.values():
            for field in child.fields:
                follows = field.master_order is not None or field.name == "AccountId"
                kept = child.share_of or child.name == "Event"
                if name in field.reference_to and follows and not kept:
                    yield child.name, field.name

    def _share_name(self, name: str) -> str:
        return next((each.name for each in self.objects.values() if each.share_of == name), "")

    def _shares(self, name: str) -> list[Row]:
        share = self._share_name(name)
        return list(self.rows[share].values()) if share else []

    def _own(self, name: str, row: Row) -> None:
        """Keep the share row that ownership makes."""
        if not self._share_name(name):
            return
        for share in self._shares(name):
            if row["Id"] in share.values() and share["RowCause"] == "Owner":
                del self.rows[self._share_name(name)][share["Id"]]
        self.share(name, row["Id"], row["OwnerId"], "Owner", "All")

    def share(
        self, name: str, key: str, grantee: str, cause: str, level: str, **implied: str
    ) -> str:
        """Share a record with a user or a group; return the share row's key."""
        own = not self.objects[name].custom
        return self.put(
            self._share_name(name),
            **{
                f"{name}Id" if own else "ParentId": key,
                "UserOrGroupId": grantee,
                f"{name}AccessLevel" if own else "AccessLevel": level,
                "RowCause": cause,
                "LastModifiedDate": wire_time(self.started),
                **implied,
            },
        )
