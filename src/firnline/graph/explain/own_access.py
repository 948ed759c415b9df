"""`_access`: what the asking person may read of an object, a field and a record.

Takes a request's context and a snapshot; the fixed part of the schema gives the result out. People
are told of their own rights what documents tell them anyway: never a rule, role, group or value,
and of a record that they do not see no more than of one that does not exist. Those who may explain
as operators are told what decides, by its name at the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import strawberry

from firnline.access.model import Everything, Nothing
from firnline.graph.explain.access import AccessExplainer, is_visible
from firnline.graph.explain.explanation import OPERATOR_SCOPE
from firnline.graph.permitted import ObjectNotSyncedError
from firnline.graph.policy.binding import ruling_on
from firnline.graph.request import GraphContext
from firnline.graph.scan import Aliases, Scan
from firnline.graph.shape import GraphObject

_REASONS = {
    "source": "the source does not show it to you",
    "policy": "the policy of this gateway's operator does not show it to you",
    "scope": "it is outside of the token's scope",
    "agents": "the agent that asks for you may not read it",
}


@strawberry.type(description="One thing at the source that gives a right, or takes it.")
class AccessGround:
    """For operators: a role, profile or set by its name."""

    effect: str = strawberry.field(description="gives or takes.")
    right: str
    kind: str
    name: str
    within: str | None = strawberry.field(description="The group that it counts as a part of.")


@strawberry.type(description="A rule about records, or a part of the one before it.")
class AccessRule:
    """For operators: one line of the tree of rules."""

    depth: int = strawberry.field(description="0: the whole rule; a part is one deeper.")
    rule: str
    why: str
    holds: bool
    record: str | None = strawberry.field(description="The other record that it was asked of.")
    because: list[str] = strawberry.field(description="Values that decide, and what they are.")


@strawberry.type(description="Why access is as it is, for operators.")
class AccessExplanation:
    """For operators: what decides, from which source, how old."""

    source: str
    user: str | None = strawberry.field(description="Who the person is at the source.")
    reason: str
    rows: str = strawberry.field(description="Which records, in words.")
    why: str
    grounds: list[AccessGround]
    field_grounds: list[AccessGround]
    rules: list[AccessRule] = strawberry.field(description="For the record that was asked about.")
    read_at: str | None = strawberry.field(description="When the oldest of it was read, UTC.")


@strawberry.type(description="Your access to one field.")
class FieldAccess:
    """The person's right to a field."""

    name: str
    readable: bool
    masked: bool = strawberry.field(description="True: you see a part of it, or null.")
    decided_by: str
    reason: str | None


@strawberry.type(description="A record that you see.")
class RecordAccess:
    """A record that the person sees; there is none of others."""

    id: str
    visible: bool


@strawberry.type(description="Your access to one object.")
class Access:
    """The person's rights to an object, and to what was asked about of it."""

    object: str
    readable: bool
    decided_by: str = strawberry.field(description="source, policy, scope or agents.")
    reason: str | None = strawberry.field(description="Why not; null where it is readable.")
    rows: str = strawberry.field(description="everything, filtered or none.")
    fields: list[str] = strawberry.field(description="The fields that you may read.")
    field: FieldAccess | None = strawberry.field(description="Null: there is no such field.")
    record: RecordAccess | None = strawberry.field(description="Null: there is none to see.")
    explained: AccessExplanation | None = strawberry.field(
        description="What decides, for operators: tokens with the scope `explain:operator`."
    )


def own_access(
    context: GraphContext, type_name: str, key: str | None, field: str | None, snapshot: Any
) -> Access | None:
    """Return the person's access to an object, None when there is none of that name."""
    whole = context.graph.objects.get(type_name)
    if whole is None:
        return None
    assert context.visible is not None
    seen = context.visible.graph().objects.get(type_name)
    fields = [] if seen is None else list(seen.fields)
    decided_by = _decided_by(context, whole)
    if seen is not None:
        context.objects_read.add((whole.connection, whole.source.name))
    is_shown = key is not None and seen is not None and is_visible(context, whole, snapshot, key)
    return Access(
        object=type_name,
        readable=seen is not None,
        decided_by=decided_by,
        reason=None if seen is not None else _REASONS[decided_by],
        rows=_rows(context, whole) if seen is not None else "none",
        fields=fields,
        field=_field(whole, field, fields, decided_by) if field in whole.fields else None,
        record=RecordAccess(id=key, visible=True) if is_shown and key is not None else None,
        explained=_explained(context, whole, key, field, snapshot),
    )


def _decided_by(context: GraphContext, found: GraphObject) -> str:
    try:
        quiet = replace(context, notes={}, objects_read=set(), scans=None)
        denied = Scan(quiet, found, Aliases()).denied
    except ObjectNotSyncedError:
        denied = None
    source = "" if denied is None else denied.source
    return source if source in _REASONS else "source"


def _field(found: GraphObject, name: str | None, fields: list[str], by: str) -> FieldAccess | None:
    if name is None:
        return None
    is_masked = name in found.policy.mask
    is_readable = name in fields
    decided_by = "policy" if is_masked else by
    return FieldAccess(
        name=name,
        readable=is_readable,
        masked=is_masked,
        decided_by=decided_by,
        reason=None if is_readable else _REASONS[decided_by],
    )


def _rows(context: GraphContext, found: GraphObject) -> str:
    """Say in one word which records the person sees, as `extensions.explain` does."""
    rows = context.decisions.object(found.connection, found.source.name).rows
    if found.policy.mode == "policy" or ruling_on(found, context.decisions).rows:
        return "filtered"
    if isinstance(rows, Nothing):
        return "none"
    is_whole = isinstance(rows, Everything) and found.type_name not in context.decisions.at_source
    return "everything" if is_whole else "filtered"


def _explained(
    context: GraphContext, found: GraphObject, key: str | None, field: str | None, snapshot: Any
) -> AccessExplanation | None:
    if OPERATOR_SCOPE not in context.principal.scopes:
        return None
    name = field if field in found.ruling_fields else None
    explainer = AccessExplainer(context, snapshot)
    facts = explainer.explain(found.type_name, field=name or "", record=key or "")
    record = facts.get("record", {})
    return AccessExplanation(
        source=facts["source"],
        user=facts["user"],
        reason=facts["reason"],
        rows=facts["rows"],
        why=facts["why"],
        grounds=[_ground(each) for each in facts["because"]],
        field_grounds=[_ground(each) for each in facts.get("field", {}).get("because", ())],
        rules=[rule for each in record.get("rules", ()) for rule in _lines(each, 0)],
        read_at=facts["readAt"],
    )


def _ground(facts: Mapping[str, str]) -> AccessGround:
    return AccessGround(
        effect=facts["effect"],
        right=facts["right"],
        kind=facts["kind"],
        name=facts["name"],
        within=facts.get("within"),
    )


def _lines(facts: Mapping[str, Any], depth: int) -> Iterator[AccessRule]:
    yield AccessRule(
        depth=depth,
        rule=facts["rule"],
        why=facts["why"],
        holds=facts["holds"],
        record=facts.get("record"),
        because=[value_words(each) for each in facts.get("because", ())],
    )
    for each in facts.get("parts", ()):
        yield from _lines(each, depth + 1)


def value_words(facts: Mapping[str, Any]) -> str:
    """Return a value that decides as text: where it stands, what it is, what else is told."""
    called = f" ({facts['called']})" if "called" in facts else ""
    value = "empty" if facts["value"] is None else facts["value"]
    others = (name for name in facts if name not in ("field", "value", "called"))
    told = "".join(f", {name} {facts[name]}" for name in others)
    return f"{facts['field']} is {value}{called}{told}"
