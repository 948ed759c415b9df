"""Access decisions as data.

A connector turns a provider's permission records into a `SourceAccess` for one person
(`Connector.access`). Row visibility is a `RowRule`, a small closed algebra over columns and
references that the cache compiles into the scan itself, so that filters, orders, counts,
aggregates and cursors range over permitted rows only. Everything defaults to deny.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


def _aside(default: Any = "") -> Any:
    # What explains a rule tells no two rules apart: people with equal rights share what is made
    # of them, whoever gave them.
    return field(default=default, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Everything:
    """Every record of the object. `why` says, of each kind of rule, what at the source decides so.

    It may name roles, groups and settings there: it is for operators and never shown to others.
    """

    why: str = _aside()


@dataclass(frozen=True, slots=True)
class Nothing:
    """No record."""

    why: str = _aside()


@dataclass(frozen=True, slots=True)
class FieldIn:
    """Records whose `field` is one of `values` (compared as text); null is never among them."""

    field: str
    values: frozenset[str]
    why: str = _aside()


@dataclass(frozen=True, slots=True)
class FieldIsNull:
    """Records whose `field` is null."""

    field: str
    why: str = _aside()


@dataclass(frozen=True, slots=True)
class Listed:
    """Records whose key stands in `key_field` of a row of `object` with `field` in `values`.

    For share tables: Listed("AccountShare", "AccountId", "UserOrGroupId", {user, groups...}).
    `where` narrows the listing rows further (field -> allowed values).
    `match` names the record's field that is compared with `key_field`; empty: the record's key.
    `told` are fields of a listing row that say how it came about (a share's cause).
    """

    object: str
    key_field: str
    field: str
    values: frozenset[str]
    where: tuple[tuple[str, frozenset[str]], ...] = ()
    match: str = ""
    told: tuple[str, ...] = _aside(())
    why: str = _aside()


@dataclass(frozen=True, slots=True)
class Via:
    """Records whose reference `field` points at a record of `object` that satisfies `rule`."""

    field: str
    object: str
    rule: RowRule
    why: str = _aside()


@dataclass(frozen=True, slots=True)
class ViaChild:
    """Records that a record of `object` satisfying `rule` points at with its `field`."""

    object: str
    field: str
    rule: RowRule
    why: str = _aside()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Records that satisfy at least one of the rules; none when there are no rules."""

    rules: tuple[RowRule, ...]
    why: str = _aside()


@dataclass(frozen=True, slots=True)
class AllOf:
    """Records that satisfy every rule."""

    rules: tuple[RowRule, ...]
    why: str = _aside()


RowRule = Everything | Nothing | FieldIn | FieldIsNull | Listed | Via | ViaChild | AnyOf | AllOf


def objects_of(rule: RowRule) -> Iterator[str]:
    """Yield the objects of the same connection whose records a row rule looks at."""
    match rule:
        case AnyOf(rules) | AllOf(rules):
            for each in rules:
                yield from objects_of(each)
        case Listed():
            yield rule.object
        case Via(_, target, inner) | ViaChild(target, _, inner):
            yield target
            yield from objects_of(inner)
        case _:
            return


@dataclass(frozen=True, slots=True)
class ObjectAccess:
    """What one person may read of one object.

    `hidden` maps each unreadable field to the reason, in words the person's admin understands.
    When `readable` is false nothing else counts and `reason` says why.
    """

    readable: bool = False
    reason: str = "no permission was found"
    rows: RowRule = field(default_factory=Nothing)
    hidden: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asking, as the token names them, or a user whom a provider knows under `key`."""

    email: str
    name: str = ""
    title: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """One person's rights in one provider, for every object of the catalog.

    `user_key` is the person's key in the provider, None when no active user matches them: such a
    person has no rights there and `reason` says so. Objects absent from `objects` are denied.
    """

    user_key: str | None
    reason: str = ""
    objects: Mapping[str, ObjectAccess] = field(default_factory=dict)

    def object(self, name: str) -> ObjectAccess:
        """Return the access to `name`, denied when nothing grants it."""
        return self.objects.get(name) or ObjectAccess(
            reason=self.reason or "no permission was found"
        )


class PermissionRows(Protocol):
    """Cached permission records of one connection, read without row filters."""

    def rows(self, object_name: str, **equals: str) -> Sequence[Mapping[str, Any]]:
        """Return the records of `object_name` whose named fields equal the given texts.

        Values are Python values of the catalog's types (id and string: str, bool: bool...).
        An object that was never synced gives no rows.
        """
        ...

    def knows(self, object_name: str) -> bool:
        """Say whether the object was synced: no rows then means that there are none.

        To be asked where rows take rights away, so that what was never read cannot widen them.
        """
        ...
