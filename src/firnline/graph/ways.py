"""Ways from a provider's record to others: by its references, and back.

Takes the objects of one connection; shape hangs the results on its provider's face. A reference to
records of several types has one way per type, by which records are filtered, sorted and grouped,
and a fork over all of them, which gives the record whatever its type is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from firnline.catalog.model import FieldInfo, ObjectInfo, Reference
from firnline.graph.names import field_name, free_name


@dataclass(frozen=True, slots=True)
class GraphRelation:
    """A way to `target` (a type name): own field `local` equals the target's field `remote`."""

    name: str
    target: str
    many: bool
    local: str
    remote: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class GraphFork:
    """A way to one record of several types: the first of `ways` that has own `local` as its key.

    `type_name` is that of the union. It is named after its place and not after its members, so that
    it stays the same when a member comes or may not be read.
    """

    name: str
    type_name: str
    local: str
    ways: tuple[GraphRelation, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Ways:
    """All ways from the records of one object, by name."""

    relations: dict[str, GraphRelation] = field(default_factory=dict)
    forks: dict[str, GraphFork] = field(default_factory=dict)


def provider_ways(
    exposed: Mapping[str, ObjectInfo], types: Mapping[str, str], taken: set[str]
) -> Mapping[str, Ways]:
    """Return the ways of each exposed object.

    `types` are the objects' type names, `taken` the names of all types, which grow.
    """
    return _Builder(exposed, types).ways(taken)


class _Builder:
    def __init__(self, exposed: Mapping[str, ObjectInfo], types: Mapping[str, str]) -> None:
        self._exposed = exposed
        self._types = types
        self._found = {name: Ways() for name in exposed}
        self._fields = {
            name: {field_name(each.name) for each in source.fields}
            for name, source in exposed.items()
        }

    def ways(self, taken: set[str]) -> Mapping[str, Ways]:
        for name, each, reference in self._references():
            for target in self._targets(reference):
                self._relate(name, each, reference, target)
        # Forks come last, so that none of them takes a name that a relation had.
        for name, each, reference in self._references():
            if len(reference.targets) > 1:
                self._fork(name, each, reference, taken)
        return self._found

    def _references(self) -> Iterator[tuple[str, FieldInfo, Reference]]:
        for name, source in self._exposed.items():
            for each in source.fields:
                if each.reference is not None:
                    yield name, each, each.reference

    def _targets(self, reference: Reference) -> Iterable[str]:
        return [target for target in reference.targets if target in self._exposed]

    def _add(self, owner: str, relation: GraphRelation) -> None:
        if relation.name not in self._fields[owner]:
            self._found[owner].relations.setdefault(relation.name, relation)

    def _relate(self, name: str, each: FieldInfo, reference: Reference, target: str) -> None:
        way = self._way(each, reference, target)
        self._add(name, way)
        if reference.inverse:
            back = field_name(reference.inverse)
            text = f"By {name}.{each.name}"
            here = self._types[name]
            self._add(target, GraphRelation(back, here, True, way.remote, way.local, text))

    def _way(self, each: FieldInfo, reference: Reference, target: str) -> GraphRelation:
        is_only = len(reference.targets) == 1
        base = reference.relation
        return GraphRelation(
            name=field_name(base if is_only else f"{base}_{target}"),
            target=self._types[target],
            many=False,
            local=field_name(each.name),
            remote=field_name(self._exposed[target].key),
            description=f"By {each.name}",
        )

    def _fork(self, name: str, each: FieldInfo, reference: Reference, taken: set[str]) -> None:
        found = self._found[name]
        fork_name = field_name(reference.relation)
        ways = tuple(self._way(each, reference, target) for target in self._targets(reference))
        if not ways or fork_name in self._fields[name] | found.relations.keys():
            return
        found.forks.setdefault(
            fork_name,
            GraphFork(
                name=fork_name,
                type_name=free_name(f"{self._types[name]}_{fork_name}", taken),
                local=field_name(each.name),
                ways=ways,
                description=f"By {each.name}, a record of one of several types",
            ),
        )
