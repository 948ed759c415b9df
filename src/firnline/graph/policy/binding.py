"""Binds the builder's policy to a principal: conditions with the token's facts in place.

Takes a graph and a verified principal; `Decisions` receive a ruling per object that has rows or
limits. Whatever cannot be told for certain denies: a fact that the token does not hold, a value
that does not fit, a field that this tenant does not have or never synced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.access.ruling import UNRULED, FieldRuling, Ruling
from firnline.cache.query import Bound
from firnline.catalog.conditions import COLUMN_TYPES, condition
from firnline.catalog.mapping import path_steps, source_paths
from firnline.errors import UsageError
from firnline.graph.moments import is_timeless, is_timeless_field
from firnline.graph.policy.condition_age import ConditionAges
from firnline.graph.policy.facts import UnboundError, fact
from firnline.graph.policy.verbs import preset_values, refused_of_field, refused_of_object
from firnline.graph.shape import GraphField, GraphObject, GraphRelation, TenantGraph
from firnline.spec.durations import shorter
from firnline.spec.verbs import PRESET_VERBS, READING, VERBS, FieldPolicy

Stored = Mapping[str, Mapping[str, frozenset[str]]]
_SEVERAL = frozenset({"in", "notIn", "iin", "hasAny", "hasAll"})


def rulings(
    graph: TenantGraph, principal: Principal, *, stored: Stored, ages: ConditionAges
) -> dict[str, Ruling]:
    """Return the ruling on every object of the graph whose policy says more than modes."""
    return {
        name: _ruling(graph, found, principal, stored, ages)
        for name, found in graph.objects.items()
        if is_ruled(found)
    }


def ruling_on(found: GraphObject, decisions: Decisions) -> Ruling:
    """Return what the policy says of an object to whom the decisions are for."""
    return decisions.ruling(found.type_name) if is_ruled(found) else UNRULED


def is_ruled(found: GraphObject) -> bool:
    """Say whether the policy says more of an object than its mode, masks and hidden fields."""
    policy = found.policy
    is_limited = policy.only_for is not None or policy.verbs is not None
    return is_limited or bool(policy.rows or policy.fields or policy.presets)


def _ruling(
    graph: TenantGraph,
    found: GraphObject,
    principal: Principal,
    stored: Stored,
    ages: ConditionAges,
) -> Ruling:
    def bind(conditions: Mapping[str, Any]) -> tuple[dict[str, Any], _Binder]:
        binder = _Binder(graph, found, principal, stored, ages)
        return binder.bound(found, conditions), binder

    refused = refused_of_object(found, principal)
    fields = {
        name: _field_ruling(rule, principal, bind)
        for name, rule in found.policy.fields.items()
        if name in found.ruling_fields
    }
    try:
        _require_whole_key(found, fields)
        rows, binder = bind(found.policy.rows)
    except UnboundError as unbound:
        reason = f"the builder's policy {unbound}"
        refused = {**dict.fromkeys(VERBS, reason), **refused}
        return Ruling(denied=refused["read"], refused=refused, fields=fields)
    presets: dict[str, Mapping[str, Any]] = {}
    for verb in PRESET_VERBS:
        try:
            presets[verb] = preset_values(found, verb, principal, ages.now)
        except UnboundError as unbound:
            refused.setdefault(verb, f"the builder's policy {unbound}")
    return Ruling(
        denied=refused.get("read", ""),
        rows=rows,
        reads=frozenset(binder.reads).union(*(each.reads for each in fields.values())),
        is_timeless=binder.is_timeless,
        refused=refused,
        fields=fields,
        presets=presets,
    )


def _field_ruling(
    rule: FieldPolicy,
    principal: Principal,
    bind: Callable[[Mapping[str, Any]], tuple[dict[str, Any], _Binder]],
) -> FieldRuling:
    refused = refused_of_field(rule, principal)
    try:
        rows, binder = bind(rule.rows)
    except UnboundError as unbound:
        reason = f"the builder's policy {unbound}"
        return FieldRuling(refused={**dict.fromkeys(READING, reason), **refused})
    return FieldRuling(refused, rows, frozenset(binder.reads), binder.is_timeless)


def _require_whole_key(found: GraphObject, fields: Mapping[str, FieldRuling]) -> None:
    """Raise UnboundError where keys may not be read, or on some records only."""
    key = fields.get(found.key)
    if key is not None and (key.rows or "read" in key.refused):
        raise UnboundError(f"keeps back {found.type_name}.{found.key}, which records are told by")


@dataclass(slots=True)
class _Binder:
    graph: TenantGraph
    ruled: GraphObject
    principal: Principal
    stored: Stored
    ages: ConditionAges
    reads: set[tuple[str, str]] = field(default_factory=set)
    is_timeless: bool = True

    def bound(self, found: GraphObject, rows: Mapping[str, Any]) -> dict[str, Any]:
        """Return conditions on `found` with values in place of facts; raises UnboundError."""
        if not isinstance(rows, Mapping):
            raise UnboundError("cannot be understood")
        return {name: self._part(found, name, wanted) for name, wanted in rows.items()}

    def _part(self, found: GraphObject, name: str, wanted: Any) -> Any:
        if name in ("and", "or"):
            return [self.bound(found, each) for each in wanted]
        if name == "not":
            return self.bound(found, wanted)
        relation = found.ruling_relations.get(name)
        if relation is not None:
            return self._related(found, relation, wanted)
        declared = found.ruling_fields.get(name)
        if declared is None or not isinstance(wanted, Mapping) or not wanted:
            raise UnboundError(f"depends on {found.type_name}.{name}, which this tenant lacks")
        self._read(found, declared)
        return {
            operator: self._operand(declared, operator, operand)
            for operator, operand in wanted.items()
        }

    def _related(
        self, found: GraphObject, relation: GraphRelation, wanted: Mapping[str, Any]
    ) -> dict[str, Any]:
        target = self.graph.objects.get(relation.target)
        if relation.many or target is None:
            place = f"{found.type_name}.{relation.name}"
            raise UnboundError(f"depends on {place}, which leads to nothing that can be read")
        self._read(found, found.ruling_fields[relation.local])
        self._read(target, target.ruling_fields[relation.remote])
        for path in target.where:
            self._read_path(target, path)
        self.is_timeless = self.is_timeless and is_timeless(target.where)
        return self.bound(target, wanted)

    def _read(self, found: GraphObject, declared: GraphField) -> None:
        """Note what a field is read from; raises UnboundError when it is not there."""
        self.is_timeless = self.is_timeless and is_timeless_field(declared)
        self._holds(found, found.source.name, found.source.key)
        for path in source_paths(declared.mapping):
            self._read_path(found, path)

    def _read_path(self, found: GraphObject, path: str) -> None:
        owner = found.source
        catalog = self.graph.catalogs[found.connection]
        *references, last = path_steps(owner, path)
        for step in references:
            self._holds(found, owner.name, step)
            reference = owner.by_name[step].reference
            targets = reference.targets if reference is not None else ()
            owner = next(catalog.by_name[each] for each in targets if each in catalog.by_name)
        self._holds(found, owner.name, last)

    def _holds(self, found: GraphObject, object_name: str, field_name: str) -> None:
        if field_name not in self.stored.get(found.connection, {}).get(object_name, ()):
            raise UnboundError("depends on records that were not synced yet")
        limit = shorter(self.ruled.policy.max_age, found.policy.max_age)
        self.ages.require(found.connection, object_name, limit)
        self.reads.add((found.connection, object_name))

    def _operand(self, declared: GraphField, operator: str, operand: Any) -> Any:
        value = self._value(operand, is_several=operator in _SEVERAL)
        nothing = Bound(None, COLUMN_TYPES[declared.scalar])
        try:
            condition(nothing, declared.scalar, operator, value, self.ages.now)
        except UsageError:
            # Not the error's own text: it could show the condition to those whom it binds.
            raise UnboundError("cannot be compared with what the token holds") from None
        self.is_timeless = self.is_timeless and is_timeless(value)
        return value

    def _value(self, operand: Any, *, is_several: bool) -> Any:
        if not isinstance(operand, Mapping):
            return list(operand) if isinstance(operand, tuple) else operand
        value = fact(self.principal, str(operand.get("principal")))
        if isinstance(value, tuple):
            if not is_several:
                raise UnboundError("needs one value of an attribute that holds several")
            return list(value)
        return [value] if is_several else value


def ruling_reads(
    graph: TenantGraph, decisions: Decisions, sources: Collection[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Yield the (connection, object) pairs that decide which records of `sources` are seen."""
    for name, ruling in decisions.rulings.items():
        found = graph.objects[name]
        if (found.connection, found.source.name) in sources:
            yield from ruling.reads
