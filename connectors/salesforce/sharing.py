"""The org's sharing as row rules: takes cached permission rows, gives the engine a SourceAccess.

Read access to a record follows, in this order: View All, the organisation-wide default, then for
private objects the owner, the role hierarchy, the share table, and access implied by an account.
Objects that take their visibility from a parent follow the parent. Anything else is denied.
"""

from __future__ import annotations

from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    ObjectAccess,
    PermissionRows,
    Person,
    RowRule,
    SourceAccess,
    Via,
    ViaChild,
)
from firnline.catalog.model import Catalog, ObjectInfo

from .discovery import share_object
from .grants import ACTIVITIES, Grants, Row, grants_of
from .hierarchy import Reach, reach_of

_LEVELS = frozenset({"Read", "Edit", "All"})
_PUBLIC = ("Read", "ReadWrite", "ReadWriteTransfer", "FullAccess")
_OWNER = "owner: the person, someone below them in the role hierarchy, or a queue that they reach"
_FLAT = "owner: the person, or a queue that they are in"
# Access to an account and to these of its records implies one another, within limits.
_ACCOUNT_CHILDREN = ("Opportunity", "Case", "Contact")


def mirrored_access(rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
    """Return what `person` may read in the org; nothing when they have no single active user."""
    email = person.email.casefold()
    named = [row for row in rows.rows("User") if str(row.get("Email") or "").casefold() == email]
    active = [row for row in named if row.get("IsActive")]
    if len(active) != 1:
        return SourceAccess(user_key=None, reason=_unmatched(person.email, named, active))
    (user,) = active
    mirror = _Mirror(rows, catalog, grants_of(rows, user), reach_of(rows, user))
    return SourceAccess(
        user_key=str(user["Id"]),
        objects={found.name: mirror.access(found) for found in catalog.objects if found.exposed},
    )


def _unmatched(email: str, named: list[Row], active: list[Row]) -> str:
    if active:
        return f"{len(active)} active Salesforce users have the e-mail {email}"
    if named:
        return f"the Salesforce user with the e-mail {email} is not active"
    return f"no Salesforce user has the e-mail {email}"


class _Mirror:
    """The rules for one user over one catalog."""

    def __init__(
        self, rows: PermissionRows, catalog: Catalog, grants: Grants, reach: Reach
    ) -> None:
        self._catalog = catalog
        self._grants = grants
        self._reach = reach
        self._models = {
            str(row["QualifiedApiName"]): str(row.get("InternalSharingModel"))
            for row in rows.rows("EntityDefinition")
        }

    def access(self, found: ObjectInfo) -> ObjectAccess:
        """Return the access to one object."""
        name = found.name
        if not self._grants.may_read(name):
            return ObjectAccess(reason=self._grants.refusal(name))
        rule = self._rows(found, ())
        if isinstance(rule, Nothing):
            model = self._models.get(name, "unknown")
            return ObjectAccess(reason=f"the sharing model of {name} ({model}) is not mirrored")
        return ObjectAccess(readable=True, reason="", rows=rule, hidden=self._grants.hidden(found))

    def _rows(self, found: ObjectInfo, seen: tuple[str, ...]) -> RowRule:
        """Return the records of a readable object; `seen` are the objects on the way here."""
        name = found.name
        if name in seen:
            return Nothing(why=f"{name} takes its visibility from itself")
        if self._grants.sees_every_record(name):
            return Everything(why=f"View All: {self._grants.source} opens every {name}")
        if name in ACTIVITIES:
            return self._activity(found, (*seen, name))
        model = self._models.get(name, "")
        default = f"organisation-wide default of {name}: {model or 'unknown'}"
        if model in _PUBLIC:
            return Everything(why=default)
        if name == "User":
            if model != "Private":
                return Nothing(why=default)
            return FieldIn("Id", self._reach.people, why="the user, or below them in the hierarchy")
        if model == "ControlledByParent":
            return self._by_parent(found, (*seen, name))
        if model == "Private" and "OwnerId" in found.by_name:
            return self._private(found, default)
        return Nothing(why=default)

    def _target(self, name: str, seen: tuple[str, ...]) -> RowRule:
        """Return the records of `name` that the user may read, object permission included."""
        found = self._catalog.by_name.get(name)
        if found is None or not self._grants.may_read(name):
            return Nothing(why=self._grants.refusal(name))
        return self._rows(found, seen)

    def _granted(self, found: ObjectInfo) -> list[RowRule]:
        """Return ownership (by people and queues), the hierarchy above, and the share table."""
        rolls_up = found.extra.get("hierarchies") != "off"
        grantees = self._reach.grantees if rolls_up else self._reach.own
        rules: list[RowRule] = [FieldIn("OwnerId", grantees, why=_OWNER if rolls_up else _FLAT)]
        shares = share_object(found.name)
        if shares in self._catalog.by_name:
            own = not found.name.endswith("__c")
            key_field = f"{found.name}Id" if own else "ParentId"
            level = f"{found.name}AccessLevel" if own else "AccessLevel"
            rules.append(
                Listed(
                    shares,
                    key_field,
                    "UserOrGroupId",
                    grantees,
                    where=((level, _LEVELS),),
                    told=self._told(shares, level),
                    why="share row: by rule, by hand or by team",
                )
            )
        return rules

    def _told(self, shares: str, level: str) -> tuple[str, ...]:
        known = self._catalog.by_name[shares].by_name
        return tuple(name for name in ("RowCause", level) if name in known)

    def _private(self, found: ObjectInfo, default: str) -> RowRule:
        rules = self._granted(found)
        if found.name == "Account":
            rules += self._implied_by_children()
        if found.name in _ACCOUNT_CHILDREN and "AccountId" in found.by_name:
            rules += self._implied_by_account(found.name)
        return AnyOf(tuple(rules), why=default)

    def _implied_by_children(self) -> list[RowRule]:
        """A record on an account, granted by owner or share, opens the account for reading.

        View All on the child does not: it grants without sharing.
        """
        children = (self._catalog.by_name.get(name) for name in _ACCOUNT_CHILDREN)
        return [
            ViaChild(
                child.name,
                "AccountId",
                AnyOf(tuple(self._granted(child))),
                why=f"a {child.name} of the account is the person's, or shared with them",
            )
            for child in children
            if child is not None
            and self._models.get(child.name) == "Private"
            and {"AccountId", "OwnerId"} <= child.by_name.keys()
        ]

    def _implied_by_account(self, child: str) -> list[RowRule]:
        """The account's owner, by their role's setting, and shares that say so open its records."""
        rules: list[RowRule] = []
        owners = self._reach.owners_whose_role_opens(child)
        if owners:
            why = f"account owner: their role opens the {child} records of their accounts"
            owned = FieldIn("OwnerId", owners, why=_OWNER)
            rules.append(Via("AccountId", "Account", owned, why=why))
        shares = self._catalog.by_name.get("AccountShare")
        level = f"{child}AccessLevel"
        if shares is not None and level in shares.by_name:
            rules.append(
                Listed(
                    "AccountShare",
                    "AccountId",
                    "UserOrGroupId",
                    self._reach.grantees,
                    where=((level, _LEVELS),),
                    match="AccountId",
                    told=self._told("AccountShare", level),
                    why=f"share row of the account, which opens its {child} records, too",
                )
            )
        return rules

    def _by_parent(self, found: ObjectInfo, seen: tuple[str, ...]) -> RowRule:
        """Every master must be readable; a contact without an account is its owner's alone."""
        parents = [name for name in found.extra.get("parents", "").split(",") if name]
        rules: list[RowRule] = []
        for name in parents:
            field = found.by_name.get(name)
            if field is None or field.reference is None:
                return Nothing(why=f"{found.name} takes its visibility from {name}, unknown here")
            (target,) = field.reference.targets
            why = f"parent record: {found.name} is controlled by its {name}"
            rules.append(Via(name, target, self._target(target, seen), why=why))
        if not rules:
            return Nothing(why=f"{found.name} takes its visibility from an unknown parent")
        followed = rules[0] if len(rules) == 1 else AllOf(tuple(rules), why="every parent record")
        if found.name != "Contact":
            return followed
        alone = AllOf(
            (FieldIsNull("AccountId"), FieldIn("OwnerId", frozenset({self._reach.user_key}))),
            why="a contact without an account is its owner's alone",
        )
        return AnyOf((followed, alone))

    def _activity(self, found: ObjectInfo, seen: tuple[str, ...]) -> RowRule:
        """Owner and hierarchy, or read access to the record that the activity is about."""
        rules: list[RowRule] = [FieldIn("OwnerId", self._reach.grantees, why=_OWNER)]
        for name in ("WhatId", "WhoId"):
            field = found.by_name.get(name)
            for target in field.reference.targets if field and field.reference else ():
                rule = self._target(target, seen)
                if not isinstance(rule, Nothing):
                    why = f"parent record: the {target} that the activity is about"
                    rules.append(Via(name, target, rule, why=why))
        return AnyOf(tuple(rules))
