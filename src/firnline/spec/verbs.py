"""What may be done with an object or a field, by whom: verbs, rules per field, operations, presets.

`spec.model` puts them into policies; `spec.rules.verbs` checks them, and the graph binds them to a
principal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from firnline.spec.closed import Closed
from firnline.spec.policy import OnlyFor, joined, narrower

FieldVerb = Literal["read", "filter", "aggregate", "create", "update"]
Verb = Literal["read", "filter", "aggregate", "create", "update", "delete"]
PresetVerb = Literal["create", "update"]

FIELD_VERBS: tuple[FieldVerb, ...] = ("read", "filter", "aggregate", "create", "update")
VERBS: tuple[Verb, ...] = (*FIELD_VERBS, "delete")
PRESET_VERBS: tuple[PresetVerb, ...] = ("create", "update")
# What holds where a policy names no verbs: nothing is written that nobody allowed.
READING: tuple[FieldVerb, ...] = ("read", "filter", "aggregate")

AnyVerb = TypeVar("AnyVerb", bound=str)
Limits = Mapping[AnyVerb, OnlyFor | None]
# Verb -> field -> a value, or the fact of the token that it is taken from.
Presets = Mapping[PresetVerb, Mapping[str, Any]]


def _listed(value: Any) -> Any:
    """Turn a list of verbs into verbs without limits."""
    if isinstance(value, tuple | list) and all(isinstance(each, str) for each in value):
        return dict.fromkeys(value)
    return value


class _ListSchema:
    """Tells the JSON Schema that a list of verbs will do."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        limits = handler(core)
        words = {"type": "array", "items": limits["propertyNames"], "uniqueItems": True}
        return {"anyOf": [words, limits]}


FieldVerbs = Annotated[Mapping[FieldVerb, OnlyFor | None], BeforeValidator(_listed), _ListSchema()]
Verbs = Annotated[Mapping[Verb, OnlyFor | None], BeforeValidator(_listed), _ListSchema()]


class FieldPolicy(Closed):
    """Who may do what with one field, within what holds for its object."""

    verbs: FieldVerbs | None = None
    """What may be done with it: a list, or verb -> who may; as the object's when absent."""

    rows: Mapping[str, Any] = Field(default_factory=dict)
    """Its value counts as null on records that do not meet these conditions."""

    only_for: OnlyFor | None = None
    """Which agents and purposes may do anything with it; everybody when absent."""


class OperationPolicy(Closed):
    """Who may run a published operation."""

    only_for: OnlyFor | None = None
    """Which agents and purposes may run it; everybody when absent."""


def limits_of(
    only_for: OnlyFor | None,
    verbs: Mapping[Any, OnlyFor | None] | None,
    fields: Mapping[str, FieldPolicy],
) -> Iterator[OnlyFor | None]:
    """Yield every limit that a policy states of who may do something."""
    yield only_for
    yield from (verbs or {}).values()
    for rule in fields.values():
        yield rule.only_for
        yield from (rule.verbs or {}).values()


def common_verbs(
    outer: Limits[AnyVerb] | None, inner: Limits[AnyVerb] | None, default: Iterable[AnyVerb]
) -> Limits[AnyVerb] | None:
    """Return the verbs that both sides allow; a side that names none leaves it to the other.

    `default` is what the outer side allows when it names none.
    """
    if inner is None:
        return outer
    allowed: Limits[AnyVerb] = dict.fromkeys(default) if outer is None else outer
    return {verb: narrower(limit, inner[verb]) for verb, limit in allowed.items() if verb in inner}


def narrowed_fields(
    outer: Mapping[str, FieldPolicy], inner: Mapping[str, FieldPolicy]
) -> Mapping[str, FieldPolicy]:
    """Return what both sides allow of every field that one of them names."""
    return {
        name: _narrowed(outer[name], inner[name])
        if name in outer and name in inner
        else outer.get(name) or inner[name]
        for name in dict.fromkeys((*outer, *inner))
    }


def _narrowed(outer: FieldPolicy, inner: FieldPolicy) -> FieldPolicy:
    return FieldPolicy(
        # A field's verbs stand within the object's: the outer side's default is all there are.
        verbs=common_verbs(outer.verbs, inner.verbs, FIELD_VERBS),
        rows=joined(outer.rows, inner.rows),
        only_for=narrower(outer.only_for, inner.only_for),
    )


def narrowed_presets(outer: Presets, inner: Presets) -> Presets:
    """Return the presets of both sides; what the outer one sets, the inner one cannot."""
    return {
        verb: {**inner.get(verb, {}), **outer.get(verb, {})}
        for verb in PRESET_VERBS
        if verb in outer or verb in inner
    }


def narrowed_operations(
    outer: Mapping[str, OperationPolicy], inner: Mapping[str, OperationPolicy]
) -> Mapping[str, OperationPolicy]:
    """Return who may run the operations that either side names; "*" stands for all others."""
    return {
        name: OperationPolicy(only_for=narrower(_limit(outer, name), _limit(inner, name)))
        for name in dict.fromkeys((*outer, *inner))
    }


def _limit(policies: Mapping[str, OperationPolicy], name: str) -> OnlyFor | None:
    found = policies.get(name) or policies.get("*")
    return None if found is None else found.only_for
