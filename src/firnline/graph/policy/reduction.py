"""Parts of a graph: objects without some of their fields, and without the ways that need them.

Takes graph objects and the fields that stay; shape leaves out what the builder's policy hides from
everybody, visible what one person may not read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from firnline.graph.compounds import GraphCompound
from firnline.graph.ways import GraphFork, GraphRelation

if TYPE_CHECKING:
    from firnline.graph.shape import GraphObject

_Part = TypeVar("_Part")

Fields = Mapping[str, Collection[str]]  # type -> the names of its fields that stay


def reduced(objects: Mapping[str, GraphObject], fields: Fields) -> dict[str, GraphObject]:
    """Return the objects that `fields` names, with those fields and the ways between them."""
    return {
        name: replace(
            objects[name],
            fields={each: found for each, found in objects[name].fields.items() if each in kept},
            relations=dict(_relations(objects[name], fields)),
            forks=dict(_forks(objects[name], fields)),
            compounds=dict(_compounds(objects[name], kept)),
        )
        for name, kept in fields.items()
    }


def without_hidden(objects: Mapping[str, GraphObject]) -> dict[str, GraphObject]:
    """Return the objects without what their policies hide; conditions may still read it.

    An object whose key is hidden is left out: its records could not be told apart.
    """
    if not any(found.policy.hide for found in objects.values()):
        return dict(objects)
    fields = {
        name: [each for each in found.fields if each not in found.policy.hide]
        for name, found in objects.items()
        if found.key not in found.policy.hide
    }
    return {
        name: replace(
            found,
            hidden_fields=_missing(objects[name].fields, found.fields),
            hidden_relations={
                way: relation
                for way, relation in _missing(objects[name].relations, found.relations).items()
                if relation.target in fields
            },
        )
        for name, found in reduced(objects, fields).items()
    }


def _missing(before: Mapping[str, _Part], after: Mapping[str, _Part]) -> dict[str, _Part]:
    return {name: each for name, each in before.items() if name not in after}


def _relations(found: GraphObject, fields: Fields) -> Iterator[tuple[str, GraphRelation]]:
    for name, relation in found.relations.items():
        if _is_open(found, relation, fields):
            yield name, relation


def _forks(found: GraphObject, fields: Fields) -> Iterator[tuple[str, GraphFork]]:
    """Yield the forks that lead to something; one way is enough to keep the union."""
    for name, fork in found.forks.items():
        ways = tuple(way for way in fork.ways if _is_open(found, way, fields))
        if ways:
            yield name, replace(fork, ways=ways)


def _compounds(found: GraphObject, kept: Collection[str]) -> Iterator[tuple[str, GraphCompound]]:
    for name, compound in found.compounds.items():
        parts = {part: own for part, own in compound.parts.items() if own in kept}
        if parts:
            yield name, replace(compound, parts=parts)


def _is_open(found: GraphObject, relation: GraphRelation, fields: Fields) -> bool:
    here, there = fields[found.type_name], fields.get(relation.target, ())
    return relation.local in here and relation.remote in there
