"""The tenant's graph as a subgraph of Apollo Federation 2.

Takes a schema and the graph it was built from; a federation's router receives the SDL and asks
`_entities` for the builder's records by their keys. Rights are those of the person whose token the
router passes on: what may not be read is null here, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    parse,
    print_ast,
    print_schema,
)
from graphql.language import ast

from firnline.catalog.conditions import bound
from firnline.errors import UsageError
from firnline.graph.loader import Loader
from firnline.graph.plan import Planner, RecordPlan
from firnline.graph.selection import Selected, Selections
from firnline.graph.shape import GraphObject, GraphRelation, TenantGraph

ENTITIES = "_entities"
REPRESENTATIONS_MAX = 1_000
_LINK = (
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", '
    'import: ["@key", "@shareable"])'
)
_MACHINERY = frozenset({"_Any", "_Entity", "_Service"})
_SHARED = frozenset({"PageInfo"})  # of Relay: other subgraphs have the same


class RepresentationError(UsageError):
    """A representation does not name one of the builder's records, or there are too many."""

    code = "representation_invalid"


class Context(Protocol):
    """What is needed of a request (`request.GraphContext`)."""

    graph: TenantGraph
    now: datetime


def entity_field(records: Sequence[GraphQLObjectType], resolve: Any) -> dict[str, GraphQLField]:
    """Return the root field `_entities` over the builder's types, nothing when there are none."""
    if not records:
        return {}
    any_ = GraphQLScalarType("_Any", description="A record by `__typename` and key.")
    entity = GraphQLUnionType("_Entity", records, description="Any of the builder's records.")
    representations = GraphQLNonNull(GraphQLList(GraphQLNonNull(any_)))
    field = GraphQLField(
        GraphQLNonNull(GraphQLList(entity)),
        args={"representations": GraphQLArgument(representations)},
        resolve=resolve,
        description="Records by their keys, for a federation's router.",
    )
    return {ENTITIES: field}


def entities(
    root: Selected,
    *,
    schema: GraphQLSchema,
    context: Context,
    selections: Selections,
    planner: Planner,
    loader: Loader,
    spend: Callable[[RecordPlan, int], None],
) -> list[Any]:
    """Return the records that the representations name, one statement per type and level."""
    asked = selections.arguments(root)["representations"]
    if len(asked) > REPRESENTATIONS_MAX:
        raise RepresentationError(
            f"{len(asked)} representations are asked for, the limit is {REPRESENTATIONS_MAX}",
            hint="Ask for fewer at once.",
        )
    named = [_named(position, each, context.graph) for position, each in enumerate(asked)]
    answers: list[Any] = [None] * len(asked)
    for type_name in dict.fromkeys(found.type_name for found, _ in named):
        found = context.graph.objects[type_name]
        places = [at for at, (owner, _) in enumerate(named) if owner.type_name == type_name]
        scalar = found.fields[found.key].scalar
        keys = [str(bound(named[place][1], scalar, context.now).value) for place in places]
        type_ = schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType)
        plan = planner.record(found, root.of_type(type_), _by_key(found))
        spend(plan, len(places))
        for place, record in zip(places, loader.records(plan, keys), strict=True):
            answers[place] = record
    return answers


def federated_sdl(schema: GraphQLSchema, graph: TenantGraph) -> str:
    """Return the schema in the form that federation composes: with keys, without machinery."""
    keys = {name: found.key for name, found in graph.objects.items() if not found.namespace}
    document = parse(print_schema(schema), no_location=True)
    kept = tuple(_federated(document.definitions, keys))
    return f"{_LINK}\n\n{print_ast(replace(document, definitions=kept))}\n"


def _federated(
    nodes: Iterable[ast.DefinitionNode], keys: Mapping[str, str]
) -> Iterator[ast.DefinitionNode]:
    for node in nodes:
        if isinstance(node, ast.TypeDefinitionNode) and node.name.value in _MACHINERY:
            continue
        if not isinstance(node, ast.ObjectTypeDefinitionNode):
            yield node
        elif node.name.value == "Query":
            fields = (each for each in node.fields or () if each.name.value != ENTITIES)
            yield replace(
                node, fields=tuple(each for each in fields if each.name.value != "_service")
            )
        elif node.name.value in keys:
            yield replace(node, directives=_directives(f'@key(fields: "{keys[node.name.value]}")'))
        elif node.name.value in _SHARED:
            yield replace(node, directives=_directives("@shareable"))
        else:
            yield node


def _directives(text: str) -> Any:
    (node,) = parse(f"type T {text}", no_location=True).definitions
    assert isinstance(node, ast.ObjectTypeDefinitionNode)
    return node.directives


def _named(position: int, representation: Any, graph: TenantGraph) -> tuple[GraphObject, Any]:
    """Return the object that a representation is of, and its key's value."""
    where = f"representation {position}"
    if not isinstance(representation, Mapping):
        raise RepresentationError(f"{where} is no object", hint="Send __typename and the key.")
    found = graph.objects.get(str(representation.get("__typename")))
    if found is None or found.namespace:
        raise RepresentationError(
            f"{where} has a __typename that is none of this subgraph's entities",
            hint="Compare with `_service { sdl }`.",
        )
    key = representation.get(found.key)
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise RepresentationError(
            f"{where} has no {found.key}", hint=f"{found.type_name} has the key {found.key}."
        )
    return found, key


def _by_key(found: GraphObject) -> GraphRelation:
    return GraphRelation(ENTITIES, found.type_name, False, found.key, found.key)
