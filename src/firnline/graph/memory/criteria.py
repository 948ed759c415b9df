"""Criteria: a coerced `where` as a tree that columns in memory can decide.

Takes the input value of a list field; statements puts the tree into the outline of a statement,
`where` decides it with SQL's logic of three values. What only DuckDB decides has no tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import VariableNode

from firnline.catalog.model import ScalarName
from firnline.graph.aggregates import COMPARABLE
from firnline.graph.shape import GraphObject, GraphRelation

Values = Mapping[str, Any]  # of variables
Path = tuple[str | int, ...]  # to a value within `where`
_COMPARED = frozenset({"eq", "neq", "in", "notIn", "lt", "lte", "gt", "gte", "isNull"})


class NoCriteriaError(Exception):
    """Only DuckDB can decide this."""


@dataclass(frozen=True, slots=True)
class Operand:
    """One comparison of a field; `variable` stands for the value when it is asked again."""

    field: str
    operator: str
    value: Any
    variable: VariableNode | None = None
    path: Path = ()

    def of(self, values: Values | None) -> Any:
        """Return what the field is compared with."""
        if values is None or self.variable is None:
            return self.value
        return values[self.variable.name.value]


@dataclass(frozen=True, slots=True)
class Joined:
    """All of several criteria, or any of them."""

    parts: tuple[Criterion, ...]
    is_any: bool = False


@dataclass(frozen=True, slots=True)
class Negated:
    """The opposite of a criterion; what is unknown stays so."""

    part: Criterion


@dataclass(frozen=True, slots=True)
class Way:
    """A relation: own field `local` equals the target's field `remote`, both as text."""

    target: GraphObject
    local: str
    remote: str


@dataclass(frozen=True, slots=True)
class Quantified:
    """How many of the related records fit: "some", "none" or "every" one."""

    way: Way
    quantifier: str
    inner: Criterion


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What is aggregated over the related records that fit, compared: "count", "min" or "max"."""

    way: Way
    function: str
    field: str  # empty: of "count"
    inner: Criterion
    operands: tuple[Operand, ...]

    @property
    def scalar(self) -> ScalarName:
        """Return the type of the aggregate."""
        return self.way.target.fields[self.field].scalar if self.field else "int"


Criterion = Operand | Joined | Negated | Quantified | Aggregated


def split(joined: Joined) -> tuple[tuple[Operand, ...], tuple[Criterion, ...]]:
    """Return the comparisons of own fields that all must hold, and whatever else must."""
    own = tuple(part for part in joined.parts if isinstance(part, Operand))
    return own, tuple(part for part in joined.parts if not isinstance(part, Operand))


def operands_of(criteria: Iterable[Criterion]) -> Iterator[Operand]:
    """Yield every comparison, also those of related records and of aggregates."""
    for each in criteria:
        match each:
            case Operand():
                yield each
            case Joined():
                yield from operands_of(each.parts)
            case Negated():
                yield from operands_of((each.part,))
            case Quantified():
                yield from operands_of((each.inner,))
            case Aggregated():
                yield from operands_of((each.inner, *each.operands))


def with_values(where: Mapping[str, Any], operands: Iterable[Operand], values: Values) -> Any:
    """Return `where` with the values that variables have now."""
    found: Any = where
    for operand in operands:
        if operand.variable is not None and operand.path:
            found = _replaced(found, operand.path, operand.of(values))
    return found


class CriteriaReader:
    """Reads one `where`; `objects` are those of the graph, `variables` stand for whole operands."""

    def __init__(
        self, objects: Mapping[str, GraphObject], variables: Mapping[Path, VariableNode]
    ) -> None:
        self._objects = objects
        self._variables = variables

    def where(self, found: GraphObject, wanted: Mapping[str, Any], path: Path = ()) -> Joined:
        """Return the criterion that `wanted` states; raises NoCriteriaError."""
        parts: list[Criterion] = []
        for key, value in wanted.items():
            part = self._part(found, key, value, (*path, key))
            parts += part.parts if isinstance(part, Joined) and not part.is_any else (part,)
        return Joined(tuple(parts))

    def _part(self, found: GraphObject, key: str, value: Any, path: Path) -> Criterion:
        match key:
            case "and" | "or":
                several = (
                    self.where(found, each, (*path, number)) for number, each in enumerate(value)
                )
                return Joined(tuple(map(_simplest, several)), is_any=key == "or")
            case "not":
                return Negated(_simplest(self.where(found, value, path)))
        if key in found.fields:
            return Joined(self._operands(key, value, path))
        if key not in found.relations:
            raise NoCriteriaError
        relation = found.relations[key]
        if relation.many:
            return self._list(relation, value, path)
        return self._quantified(relation, "some", value, path)

    def _operands(self, name: str, wanted: Mapping[str, Any], path: Path) -> tuple[Operand, ...]:
        if not _COMPARED.issuperset(wanted):
            raise NoCriteriaError
        return tuple(
            Operand(
                *(name, operator, value),
                variable=self._variables.get((*path, operator)),
                path=(*path, operator),
            )
            for operator, value in wanted.items()
        )

    def _list(self, relation: GraphRelation, wanted: Mapping[str, Any], path: Path) -> Joined:
        parts: list[Criterion] = [
            self._quantified(relation, key, wanted[key], (*path, key))
            for key in ("some", "none", "every")
            if key in wanted
        ]
        if "aggregate" in wanted:
            parts += self._aggregates(relation, wanted, path)
        elif "where" in wanted:
            parts.append(self._quantified(relation, "some", wanted["where"], (*path, "where")))
        return Joined(tuple(parts))

    def _quantified(
        self, relation: GraphRelation, quantifier: str, wanted: Mapping[str, Any], path: Path
    ) -> Quantified:
        way = self._way(relation)
        return Quantified(way, quantifier, _simplest(self.where(way.target, wanted, path)))

    def _aggregates(
        self, relation: GraphRelation, wanted: Mapping[str, Any], path: Path
    ) -> Iterator[Aggregated]:
        way = self._way(relation)
        inner = _simplest(self.where(way.target, wanted.get("where", {}), (*path, "where")))
        for function, compared in wanted["aggregate"].items():
            place: Path = (*path, "aggregate", function)
            if function == "count":
                operands = self._operands("", compared, place)
                yield Aggregated(way, function, "", inner, operands)
                continue
            if function not in ("min", "max"):
                raise NoCriteriaError
            for name, operators in compared.items():
                if way.target.fields[name].scalar not in COMPARABLE:
                    raise NoCriteriaError
                operands = self._operands(name, operators, (*place, name))
                yield Aggregated(way, function, name, inner, operands)

    def _way(self, relation: GraphRelation) -> Way:
        return Way(self._objects[relation.target], relation.local, relation.remote)


def _simplest(joined: Joined) -> Criterion:
    return joined.parts[0] if len(joined.parts) == 1 and not joined.is_any else joined


def _replaced(whole: Any, path: Sequence[str | int], value: Any) -> Any:
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(whole, Mapping):
        return {**whole, first: _replaced(whole[first], rest, value)}
    changed = list(whole)
    changed[int(first)] = _replaced(changed[int(first)], rest, value)
    return changed
