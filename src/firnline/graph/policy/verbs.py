"""Which verbs the builder's policy leaves to a principal, and what it sets in their writes.

Takes an object of the graph and a verified principal; binding puts the results into rulings. What
cannot be told for certain refuses the verb: a fact that the token does not hold, a value that does
not fit, a field that cannot be written where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from firnline.access.principal import Principal
from firnline.catalog.conditions import bound
from firnline.catalog.model import FieldInfo
from firnline.errors import UsageError
from firnline.graph.policy.facts import UnboundError, fact
from firnline.graph.shape import GraphField, GraphObject
from firnline.spec.model import FromField
from firnline.spec.policy import OnlyFor
from firnline.spec.verbs import FIELD_VERBS, READING, VERBS, FieldPolicy

FOR_OTHERS = "the builder's policy gives it to other agents or purposes only"
NOT_ALLOWED = "the builder's policy does not allow it"
_KEEP = "keep"


def asked_by(principal: Principal) -> tuple[str, str, frozenset[str]]:
    """Return what limits look at: the agent, its purpose and the operation that is asked."""
    return principal.agent, principal.purpose, principal.operation


def refused_verbs(
    verbs: Mapping[Any, OnlyFor | None] | None, among: Iterable[str], principal: Principal
) -> dict[str, str]:
    """Return the verbs that a principal may not use with the reason; None allows `among`."""
    allowed = dict.fromkeys(among) if verbs is None else verbs
    refused: dict[str, str] = {}
    for verb in VERBS:
        limit = allowed.get(verb)
        if verb not in allowed:
            refused[verb] = NOT_ALLOWED
        elif limit is not None and not limit.allows(*asked_by(principal)):
            refused[verb] = FOR_OTHERS
    return without_reading(refused)


def refused_of_object(found: GraphObject, principal: Principal) -> dict[str, str]:
    """Return the verbs that a principal may not use on an object as a whole."""
    limits = found.policy.only_for
    if limits is not None and not limits.allows(*asked_by(principal)):
        return dict.fromkeys(VERBS, FOR_OTHERS)
    return refused_verbs(found.policy.verbs, READING, principal)


def refused_of_field(rule: FieldPolicy, principal: Principal) -> dict[str, str]:
    """Return the verbs that a principal may not use on a field, whatever holds for its object."""
    if rule.only_for is not None and not rule.only_for.allows(*asked_by(principal)):
        return dict.fromkeys(FIELD_VERBS, FOR_OTHERS)
    refused = refused_verbs(rule.verbs, FIELD_VERBS, principal)
    return {verb: reason for verb, reason in refused.items() if verb in FIELD_VERBS}


def without_reading(refused: Mapping[str, str]) -> dict[str, str]:
    """Return refused verbs: what may not be read decides nothing, either."""
    reason = refused.get("read")
    return dict(refused) if reason is None else {**dict.fromkeys(READING, reason), **refused}


def preset_values(
    found: GraphObject, verb: str, principal: Principal, now: datetime
) -> dict[str, Any]:
    """Return what a write of this kind sets; relative times stay as they are.

    Raises UnboundError, whose text says why nothing can be written.
    """
    return {
        name: _preset(found, verb, name, value, principal, now)
        for kind, values in found.policy.presets.items()
        if kind == verb
        for name, value in values.items()
    }


def _preset(
    found: GraphObject, verb: str, name: str, value: Any, principal: Principal, now: datetime
) -> Any:
    place = f"{found.type_name}.{name}"
    declared = found.ruling_fields.get(name)
    if declared is None or not is_writable(found, declared, verb):
        raise UnboundError(f"sets {place}, which cannot be written at this tenant")
    if isinstance(value, Mapping):
        value = fact(principal, str(value.get("principal")))
    if not _fits(declared, value, now):
        raise UnboundError(f"sets {place} to what does not fit")
    return list(value) if isinstance(value, tuple) else value


def _fits(declared: GraphField, value: Any, now: datetime) -> bool:
    if value is None:
        return True
    if isinstance(value, tuple | list) or declared.scalar == "strings":
        return declared.scalar == "strings" and isinstance(value, tuple | list)
    if declared.words and value not in declared.words:
        return False
    try:
        bound(value, declared.scalar, now)
    except UsageError:
        return False
    mapping = declared.mapping
    assert isinstance(mapping, FromField)
    return not mapping.values or _has_way_back(mapping, value)


def _has_way_back(mapping: FromField, value: Any) -> bool:
    """Say whether one stored value, and no other, stands for a value."""
    stored = [each for each, word in mapping.values.items() if word == value]
    if mapping.otherwise == _KEEP and not stored:
        return value not in mapping.values
    return len(stored) == 1 and value != mapping.otherwise


def is_writable(found: GraphObject, declared: GraphField, verb: str) -> bool:
    """Say whether the source takes a field in a write of this kind."""
    target = written_field(found, declared)
    if target is None or target.calculated:
        return False
    return target.createable if verb == "create" else target.updateable


def written_field(found: GraphObject, declared: GraphField) -> FieldInfo | None:
    """Return the source's field that a field is written to, None where there is not exactly one."""
    mapping = declared.mapping
    if not isinstance(mapping, FromField):
        return None
    return found.source.by_name.get(mapping.from_)
