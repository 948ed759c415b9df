"""Field search: from words to coordinates, for agents that do not know the schema by heart.

Takes the part of a graph that a person may read; the root fields `_search` and `_definitions`
answer from it. Ranking is deterministic: whole words before beginnings before likenesses, names
before descriptions, the builder's objects before the providers' own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher, get_close_matches

from graphql import GraphQLSchema, parse, print_ast, print_type
from graphql.language import ast

from firnline.catalog.model import EnumValue
from firnline.errors import UsageError
from firnline.graph.choices import suggested
from firnline.graph.scalars import SCALARS
from firnline.graph.shape import (
    GraphCompound,
    GraphField,
    GraphFork,
    GraphObject,
    GraphRelation,
    TenantGraph,
)

TEXT_MAX = 200
COORDINATES_MAX = 50
_LIKENESS_MIN = 0.78
_SUBSTRING_MIN = 3  # letters of a word that may stand inside another one
_NAME, _OWNER, _TEXT = 10.0, 3.0, 4.0
_BUILDER_BONUS, _WHOLE_NAME_BONUS = 1.0, 6.0
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+|[^\W_]+")
_NOISE = frozenset({"a", "an", "by", "from", "in", "is", "of", "on", "the", "to"})
_EXAMPLE_ROWS = 3
_VALUES_MAX = 200  # of a field that can be found by them


class SearchTextError(UsageError):
    """The text to search for is empty or too long, or too many definitions are asked for."""

    code = "search_invalid"


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found: `path` leads there from the root, `example` is a query that runs."""

    coordinate: str
    kind: str  # OBJECT, FIELD, RELATION
    type: str
    description: str
    path: tuple[str, ...]
    example: str


@dataclass(slots=True)
class SearchIndex:
    """Everything that can be found in one graph."""

    _hits: list[Hit] = field(default_factory=list)
    _bonus: list[float] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _weights: dict[str, dict[int, float]] = field(default_factory=dict)  # word -> hit -> weight

    @classmethod
    def of(cls, graph: TenantGraph) -> SearchIndex:
        """Index a graph's objects, fields and relations."""
        index = cls()
        for found in graph.objects.values():
            index._add(_object_hit(found), found)
            for each in found.fields.values():
                hit = Hit(
                    f"{found.type_name}.{each.name}",
                    "FIELD",
                    _type_of(each),
                    f"{each.description} {each.choices_text}".strip(),
                    (*_root(found), "nodes", each.name),
                    _example(found, each.name),
                )
                index._add(hit, found, each.name, _labels(each))
            for relation in found.relations.values():
                target = graph.objects[relation.target]
                index._add(_relation_hit(found, relation, target), found, relation.name)
            for compound in found.compounds.values():
                index._add(_compound_hit(found, compound), found, compound.name)
            for fork in found.forks.values():
                index._add(_fork_hit(found, fork, graph), found, fork.name)
        return index

    def find(self, text: str, first: int) -> list[Hit]:
        """Return the best hits, best first; raises SearchTextError."""
        words = _words(text)
        if not words or len(text) > TEXT_MAX:
            raise SearchTextError(
                f"the text has {len(text)} characters and {len(words)} words",
                hint=f"Search for one to {TEXT_MAX} characters with a letter or digit among them.",
            )
        scores: dict[int, float] = {}
        for word in dict.fromkeys(words):
            for position, score in self._scores(word).items():
                scores[position] = scores.get(position, 0.0) + score
        wanted = " ".join(words)
        for position in scores:
            is_whole = self._names[position] == wanted
            scores[position] += self._bonus[position] + is_whole * _WHOLE_NAME_BONUS
        ranked = sorted(scores, key=lambda at: (-scores[at], self._hits[at].coordinate))
        return [self._hits[position] for position in ranked[:first]]

    def _add(self, hit: Hit, owner: GraphObject, name: str = "", values: str = "") -> None:
        position = len(self._hits)
        self._hits.append(hit)
        self._bonus.append(0.0 if owner.namespace else _BUILDER_BONUS)
        own = _words(name or owner.type_name)
        self._names.append(" ".join(own))
        # Later ones win: a word of the name counts as such, also when the description repeats it.
        for words, weight in (
            (_words(owner.type_name), _OWNER),
            ([word for word in _words(f"{hit.description} {values}") if word not in _NOISE], _TEXT),
            ([*own, "".join(own)], _NAME),
        ):
            for word in words:
                self._weights.setdefault(word, {})[position] = weight

    def _scores(self, word: str) -> dict[int, float]:
        """Return each hit's score for one word: the best of its own words counts."""
        found: dict[int, float] = {}
        matches = [(known, _match(word, known)) for known in self._weights]
        alike = [(known, match) for known, match in matches if match]
        if not alike:
            alike = [
                (known, 0.5 * SequenceMatcher(None, word, known).ratio())
                for known in get_close_matches(word, self._weights, n=5, cutoff=_LIKENESS_MIN)
            ]
        for known, match in alike:
            for position, weight in self._weights[known].items():
                found[position] = max(found.get(position, 0.0), match * weight)
        return found


def values(graph: TenantGraph, coordinate: str, text: str, first: int) -> list[EnumValue]:
    """Return what a field can be, best match with `text` first; raises SearchTextError.

    No difference is made between a field that there is not and one that is not to be seen.
    """
    type_name, _, name = coordinate.partition(".")
    found = graph.objects.get(type_name)
    field = None if found is None else found.fields.get(name)
    if field is None or len(text) > TEXT_MAX:
        raise SearchTextError(
            "there is no such field for you to see, or the text is too long",
            hint=f"Give a coordinate that `_search` found, and up to {TEXT_MAX} characters.",
        )
    return suggested(field.choices, text, first)


def definitions(schema: GraphQLSchema, coordinates: Sequence[str]) -> str:
    """Return the SDL of types and fields; what is not there, or not to be seen, is a comment."""
    if len(coordinates) > COORDINATES_MAX:
        raise SearchTextError(
            f"{len(coordinates)} definitions are asked for, the limit is {COORDINATES_MAX}",
            hint="Ask for fewer at once.",
        )
    return "\n\n".join(_definition(schema, each) for each in dict.fromkeys(coordinates))


def _definition(schema: GraphQLSchema, coordinate: str) -> str:
    type_name, _, member = coordinate.partition(".")
    type_ = schema.get_type(type_name)
    if type_ is None:
        return _missing(coordinate)
    text = print_type(type_)
    if not member:
        return text
    (node,) = parse(text).definitions
    if not isinstance(node, ast.ObjectTypeDefinitionNode | ast.InputObjectTypeDefinitionNode):
        return _missing(coordinate)
    fields = tuple(each for each in node.fields or () if each.name.value == member)
    if not fields:
        return _missing(coordinate)
    return print_ast(replace(node, description=None, fields=fields))  # type: ignore[arg-type]


def _missing(coordinate: str) -> str:
    shown = re.sub(r"[^\w.]", "?", coordinate)[:TEXT_MAX]
    return f"# {shown}: there is no such type or field for you to see"


def _match(word: str, known: str) -> float:
    if word == known:
        return 1.0
    if known.startswith(word) or (len(known) >= _SUBSTRING_MIN and word == f"{known}s"):
        return 0.7
    return 0.4 if len(word) >= _SUBSTRING_MIN and word in known else 0.0


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _labels(field: GraphField) -> str:
    return " ".join(f"{each.value} {each.label}" for each in field.choices[:_VALUES_MAX])


def _type_of(field: GraphField) -> str:
    return "[String!]" if field.scalar == "strings" else SCALARS[field.scalar].name


def _root(found: GraphObject) -> Iterator[str]:
    if found.namespace:
        yield found.namespace
    yield found.list_name


def _object_hit(found: GraphObject) -> Hit:
    return Hit(
        found.type_name,
        "OBJECT",
        f"{found.type_name}Connection",
        found.description,
        tuple(_root(found)),
        _example(found, ""),
    )


def _relation_hit(found: GraphObject, relation: GraphRelation, target: GraphObject) -> Hit:
    inner = f"nodes {{ {target.key} }}" if relation.many else target.key
    page = f"(first: {_EXAMPLE_ROWS})" if relation.many else ""
    return Hit(
        f"{found.type_name}.{relation.name}",
        "RELATION",
        f"{target.type_name}Connection" if relation.many else target.type_name,
        relation.description,
        (*_root(found), "nodes", relation.name),
        _example(found, f"{relation.name}{page} {{ {inner} }}"),
    )


def _compound_hit(found: GraphObject, compound: GraphCompound) -> Hit:
    return Hit(
        f"{found.type_name}.{compound.name}",
        "FIELD",
        f"{compound.type_name}!",
        compound.description,
        (*_root(found), "nodes", compound.name),
        _example(found, f"{compound.name} {{ {' '.join(compound.parts)} }}"),
    )


def _fork_hit(found: GraphObject, fork: GraphFork, graph: TenantGraph) -> Hit:
    target = graph.objects[fork.ways[0].target]
    return Hit(
        f"{found.type_name}.{fork.name}",
        "RELATION",
        fork.type_name,
        f"{fork.description}: {', '.join(way.target for way in fork.ways)}",
        (*_root(found), "nodes", fork.name),
        _example(
            found,
            f"{fork.name} {{ __typename ... on {target.type_name} {{ {target.key} }} }}",
            f", where: {{{fork.name}: {{{target.type_name}: {{}}}}}}",
        ),
    )


def _example(found: GraphObject, selection: str, narrowed: str = "") -> str:
    asked = found.key if selection in ("", found.key) else f"{found.key} {selection}"
    query = f"{found.list_name}(first: {_EXAMPLE_ROWS}{narrowed}) {{ nodes {{ {asked} }} }}"
    return f"{{ {found.namespace} {{ {query} }} }}" if found.namespace else f"{{ {query} }}"
