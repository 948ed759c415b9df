"""A scan: one object of the graph under one alias, as one principal may see it.

Takes a graph object and the request; plan and filter take typed expressions from it and, at the
end, the relation to select from. Only columns that were asked for and may be read are ever named,
and every row of the relation satisfies the principal's row filter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from firnline.access.decisions import Unrestricted
from firnline.cache.query import (
    FALSE,
    TRUE,
    Bound,
    Call,
    Case,
    Expression,
    Join,
    RowFilter,
    Select,
    all_of,
)
from firnline.catalog.conditions import COLUMN_TYPES, coerced
from firnline.catalog.mapping import PathResolver, conditions, mapped, path_steps, source_paths
from firnline.catalog.model import FieldInfo
from firnline.errors import FirnlineError
from firnline.graph.moments import is_timeless, is_timeless_field
from firnline.graph.permitted import HiddenColumnError, Permitted, confirmed, readable
from firnline.graph.policy.binding import ruling_on
from firnline.graph.policy.masks import mask_reason, masked
from firnline.graph.policy.row_rules import RowRules
from firnline.graph.request import AccessNote, GraphContext
from firnline.graph.shape import GraphField, GraphObject
from firnline.spec.model import FromField
from firnline.spec.verbs import FieldVerb

_ON_SOME = "shown on some records only, by the builder's policy; null on the others"


class MaskedFieldError(FirnlineError):
    """The principal may not read a field; selecting it gives null, using it is refused."""

    code = "field_not_readable"
    status = 403

    def __init__(self, coordinate: str, reason: str, source: str) -> None:
        super().__init__(
            f"you may not read {coordinate}, so it cannot filter, order or aggregate",
            hint=reason,
        )
        self.note = AccessNote(coordinate, "masked", reason, source)


class VerbRefusedError(MaskedFieldError):
    """The principal may see something, but not filter, order, group or aggregate by it."""

    code = "verb_not_allowed"

    def __init__(self, coordinate: str, verb: str, reason: str) -> None:
        FirnlineError.__init__(self, f"you may not {verb} {coordinate}", hint=reason)
        told = f"may be read, but not used to {verb}: {reason}"
        self.note = AccessNote(coordinate, "masked", told, "policy")


class DeniedObjectError(FirnlineError):
    """The principal may read nothing of an object, so it cannot decide about other records."""

    code = "object_not_readable"
    status = 403

    def __init__(self, note: AccessNote) -> None:
        super().__init__(
            f"you may not read {note.coordinate}, so it cannot filter other records",
            hint=note.reason,
        )


class Aliases:
    """Hands out aliases that are unique within one statement."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = count()

    def next(self) -> str:
        """Return a fresh alias."""
        return f"t{next(self._numbers)}"


def is_ours(found: GraphObject) -> bool:
    """Say whether the builder's conditions alone decide about an object; there must be some."""
    return found.policy.mode == "policy" and bool(found.policy.rows)


class Scan:
    """One graph object under one alias. Ask for fields first, then for the relation."""

    def __init__(self, context: GraphContext, found: GraphObject, aliases: Aliases) -> None:
        self.context = context
        self.object = found
        self._aliases = aliases
        self._base = Permitted(
            context, found.connection, found.source, aliases.next(), is_ours=is_ours(found)
        )
        self._joined: dict[tuple[str, ...], tuple[Permitted, Expression]] = {}
        self._joined_free: dict[tuple[str, ...], tuple[Permitted, Expression]] = {}
        self._fields: dict[str, Expression] = {}
        self._fields_ruled = context.decisions.fields(found.type_name)

        self.denied = self._denial()
        if context.scans is not None:
            context.scans.append(self)

    @property
    def fields_read(self) -> tuple[str, ...]:
        """Return the fields that were asked for and may be read."""
        return tuple(self._fields)

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """Return (connection, object) of the table and of those joined to it."""
        every = [self._base, *(joined for joined, _ in self._joined.values())]
        return tuple(dict.fromkeys((each.connection, each.source.name) for each in every))

    def _denial(self) -> AccessNote | None:
        """Return why nothing of this object is readable, None when something is."""
        type_name = self.object.type_name
        if not self._base.access.readable:
            return AccessNote(type_name, "denied", self._base.access.reason, self.object.connection)
        limit = self.context.decisions.reach.denial(type_name)
        if limit is not None:
            return AccessNote(type_name, "denied", limit.reason, limit.source)
        too_old = self.context.decisions.too_old.get(type_name)
        if too_old is not None:
            return AccessNote(type_name, "denied", too_old, self.object.connection)
        ruling = ruling_on(self.object, self.context.decisions)
        if ruling.denied:
            return AccessNote(type_name, "denied", ruling.denied, "policy")
        unchecked = self._unchecked()
        if unchecked is not None:
            return unchecked
        key = self.object.fields[self.object.key]
        try:
            self._fields[key.name] = self._whole(key)
        except MaskedFieldError as masked:
            # Without its key a record can be neither told apart nor paged over.
            reason = f"needs {masked.note.coordinate}: {masked.note.reason}"
            return AccessNote(type_name, "denied", reason, masked.note.source)
        return None

    @property
    def is_at_source(self) -> bool:
        """Say whether each record counts only as far as its source confirms it."""
        return self.object.type_name in self.context.decisions.at_source

    def _unchecked(self) -> AccessNote | None:
        """Return why the source's word is not to be had, where it is needed."""
        if not self.is_at_source:
            return None
        self.context.is_timeless = False  # the source may say something else the next time
        name, checks = self.object.type_name, self.context.checks
        if checks is None:
            reason = "its records are not checked here"
            return AccessNote(name, "denied", reason, self.object.connection, "verify_unavailable")
        denial = checks.denial(name)
        if denial is None:
            self._base.withheld = checks.withheld(name, self.object.source.name)
        return denial

    def _verified(self) -> Expression:
        """Return the condition that the source confirms the record."""
        if self.denied is not None or not self.is_at_source:
            return TRUE
        return confirmed(self._base)

    def field(self, name: str, verb: FieldVerb = "read") -> Expression:
        """Return a field as an expression of its type; raises MaskedFieldError.

        Of an object that may not be read every field is null: the scan has no rows. What is to
        filter or to be aggregated says so as `verb`, which the policy may not allow.
        """
        if self.denied is not None:
            return Bound(None, COLUMN_TYPES[self.object.fields[name].scalar])
        self.require(verb, name)
        if name not in self._fields:
            self._fields[name] = self._whole(self.object.fields[name])
        return self._fields[name]

    def shown(self, name: str) -> Expression:
        """Return a field as it is shown: masked, and noted, where the builder's policy says so.

        Only for selecting it; raises MaskedFieldError where the source withholds it.
        """
        field, policy = self.object.fields[name], self.object.policy
        if name not in policy.mask or self.denied is not None:
            return self.field(name)
        value, mask = self._read(field), policy.mask[name]
        self.context.note(self._mask_note(field))
        needs_key = mask == "hash" and self.context.mask_key is not None
        key = self.context.mask_key() if needs_key and self.context.mask_key else None
        return masked(value, field.scalar, mask, key)

    def _mask_note(self, field: GraphField) -> AccessNote:
        reason = mask_reason(self.object.policy.mask[field.name], field.scalar)
        return AccessNote(f"{self.object.type_name}.{field.name}", "masked", reason, "policy")

    def _whole(self, field: GraphField) -> Expression:
        """Return a field's own value; raises MaskedFieldError where there is only a mask to see."""
        if field.name in self.object.policy.mask:
            note = self._mask_note(field)
            raise MaskedFieldError(note.coordinate, note.reason, note.source)
        return self._read(field)

    @property
    def denied_at_source(self) -> str:
        """Return why the source shows nothing of the object, empty where it shows something."""
        return "" if self._base.access.readable else self._base.access.reason

    def withheld_at_source(self, name: str) -> str:
        """Return why the source keeps a field of its own back, empty where it does not."""
        return self._base.access.hidden.get(name, "")

    def require(self, verb: FieldVerb, name: str = "") -> None:
        """Raise VerbRefusedError where the policy refuses a verb on the object, or on a field."""
        if self.denied is not None or verb == "read":
            return
        reason = ruling_on(self.object, self.context.decisions).refused.get(verb)
        own = self._fields_ruled.get(name)
        if reason is None and own is not None and "read" not in own.refused:
            reason = own.refused.get(verb)
        if reason is not None:
            place = self.object.type_name
            raise VerbRefusedError(f"{place}.{name}" if name else place, verb, reason)

    def tie(self) -> Expression | None:
        """Return what tells records of equal keys apart, None where keys are the source's own.

        It is read whatever the rights: it orders what looks alike, and stands in sealed cursors
        alone.
        """
        mapping = self.object.fields[self.object.key].mapping
        source_key = self._base.source.key
        is_plain = isinstance(mapping, FromField) and not mapping.values
        if self.denied is not None or (is_plain and source_paths(mapping) == (source_key,)):
            return None
        return self._base.column(source_key)

    def identity(self) -> Expression:
        """Return what no two records of the object have alike."""
        tie = self.tie()
        return self.field(self.object.key) if tie is None else tie

    def key(self, name: str) -> Expression:
        """Return a field as text, the form in which both sides of a relation are compared."""
        return coerced(self.field(name), self.object.fields[name].scalar, "string")

    def _read(self, field: GraphField) -> Expression:
        coordinate = f"{self.object.type_name}.{field.name}"
        if not is_timeless_field(field):
            self.context.is_timeless = False
        ruled = self._fields_ruled.get(field.name)
        if ruled is not None and "read" in ruled.refused:
            raise MaskedFieldError(coordinate, ruled.refused["read"], "policy")
        try:
            value = mapped(field.mapping, field.scalar, self, self.context.now)
        except HiddenColumnError as hidden:
            raise MaskedFieldError(coordinate, hidden.reason, hidden.connection) from None
        if ruled is None or not ruled.rows:
            return value
        # One expression wherever the value is read: shown, compared, ordered, grouped or added up.
        self.context.note(AccessNote(coordinate, "masked", _ON_SOME, "policy"))
        return Case(((self._holds(ruled.rows, is_timeless=ruled.is_timeless), value),))

    def raw(self, path: str) -> tuple[Expression, FieldInfo]:
        """Return the value at a source path (`catalog.mapping.PathResolver`)."""
        *references, last = path_steps(self._base.source, path)
        permitted = self._base
        for depth in range(len(references)):
            permitted = self._join(permitted, tuple(references[: depth + 1]))
        return readable(permitted, last), permitted.source.by_name[last]

    @property
    def ruling(self) -> PathResolver:
        """Resolve source paths for the builder's conditions, whatever the person may read."""
        return _Ruling(self)

    def _join(
        self, owner: Permitted, steps: tuple[str, ...], *, is_free: bool = False
    ) -> Permitted:
        known = self._joined_free if is_free else self._joined
        if steps not in known:
            reference = owner.source.by_name[steps[-1]]
            own = owner.column(steps[-1]) if is_free else readable(owner, reference.name)
            context = _unrestricted(self.context) if is_free else self.context
            catalog = self.context.graph.catalogs[owner.connection]
            targets = reference.reference.targets if reference.reference else ()
            target = next(catalog.by_name[name] for name in targets if name in catalog.by_name)
            joined = Permitted(context, owner.connection, target, self._aliases.next())
            if not joined.access.readable:
                raise HiddenColumnError(owner.connection, joined.access.reason)
            on: Expression = Call("eq", (own, joined.column(target.key)))
            if self.is_at_source and not is_free:
                reason = self._unreachable(target.name)
                if reason:
                    raise HiddenColumnError(owner.connection, reason)
                joined.withheld = self._withheld(target.name)
                on = all_of([on, confirmed(joined)])
            known[steps] = (joined, on)
        return known[steps][0]

    def _unreachable(self, name: str) -> str:
        """Return why records of an object may not be read through, where each must be confirmed."""
        checks = self.context.checks
        if checks is None:
            return "its records are not checked here"
        return checks.hidden_reason(self.object.type_name, name)

    def _withheld(self, name: str) -> Mapping[str, str]:
        """Return the fields of another object that its source keeps back now."""
        checks = self.context.checks
        return {} if checks is None else checks.withheld(self.object.type_name, name)

    def select(
        self, columns: tuple[tuple[str, Expression], ...], where: list[Expression]
    ) -> Select:
        """Return a query over the permitted rows; more parts are added by `Select.but`."""
        condition = all_of([self._belongs(), self._ruled(), self._verified(), *where])
        every = (*self._joined.values(), *self._joined_free.values())
        return Select(
            columns=columns,
            source=self._base.relation(),
            alias=self._base.alias,
            joins=tuple(Join(joined.relation(), joined.alias, on) for joined, on in every),
            where=None if condition == TRUE else condition,
        )

    def _belongs(self) -> Expression:
        """Return the condition of the mapping under which a source record counts at all."""
        if self.denied is not None:
            return FALSE
        if not is_timeless(self.object.where):
            self.context.is_timeless = False
        try:
            return conditions(self.object.where, self, self.context.now)
        except HiddenColumnError as hidden:
            # What decides membership may not be read: showing the members would tell it.
            self.context.note(
                AccessNote(self.object.type_name, "denied", hidden.reason, hidden.connection)
            )
            return FALSE

    def _ruled(self) -> Expression:
        """Return the condition under which the builder's policy shows a record to the person."""
        ruling = ruling_on(self.object, self.context.decisions)
        if self.denied is not None or not ruling.rows:
            return TRUE
        return self._holds(ruling.rows, is_timeless=ruling.is_timeless)

    def _holds(self, rows: Mapping[str, Any], *, is_timeless: bool) -> Expression:
        """Return the condition that bound rows of the policy state, whatever the rights are."""
        if not is_timeless:
            self.context.is_timeless = False
        free = _unrestricted(self.context)
        objects = self.context.graph.objects
        rules = RowRules(lambda name: Scan(free, objects[name], self._aliases), self.context.now)
        condition = rules.condition(self, rows)
        return condition if condition in (TRUE, FALSE) else RowFilter(condition)


class _Ruling:
    """Source paths of a scan as conditions of the builder read them (`PathResolver`)."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan

    def raw(self, path: str) -> tuple[Expression, FieldInfo]:
        """Return the value at a path, joined records unfiltered."""
        permitted = self._scan._base
        *references, last = path_steps(permitted.source, path)
        for depth in range(len(references)):
            steps = tuple(references[: depth + 1])
            permitted = self._scan._join(permitted, steps, is_free=True)
        return permitted.column(last), permitted.source.by_name[last]


def _unrestricted(context: GraphContext) -> GraphContext:
    """Return the context of what decides about records; it notes nothing in the person's own."""
    decisions = Unrestricted.of(context.decisions)
    return replace(context, decisions=decisions, notes={}, objects_read=set(), scans=None)
