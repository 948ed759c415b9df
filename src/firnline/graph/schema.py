"""Builds a tenant's schema: Strawberry's fixed part with the tenant's record types beside it.

Takes a `TenantGraph`; respond executes operations on the result. Record types are graphql-core
types with lazy fields, because decorating a class per discovered object costs forty times as much.
Two tenants of one shape share one schema: resolvers take sources from the request, not from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLFloat,
    GraphQLInt,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    specified_rules,
)
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from firnline.catalog.model import ScalarName
from firnline.graph import fixed
from firnline.graph.aggregates import AGGREGATE_TYPES, AGGREGATES, aggregate_scalar
from firnline.graph.executor import SetwiseExecutor
from firnline.graph.federation import entity_field, federated_sdl
from firnline.graph.inputs import Inputs, is_sortable, lean, operands_of
from firnline.graph.provenance import sentences
from firnline.graph.request import Completed, GraphContext
from firnline.graph.scalars import SCALARS
from firnline.graph.shape import GraphCompound, GraphField, GraphFork, GraphObject, TenantGraph
from firnline.graph.streaming import in_parts

_DOCUMENTS_CACHED_MAX = 512


class TenantSchema(strawberry.Schema):
    """A Strawberry schema with a tenant's record types grafted onto its query type."""

    def __init__(self, graph: TenantGraph) -> None:
        super().__init__(
            query=fixed.Query,
            types=[fixed.PageInfo],
            execution_context_class=SetwiseExecutor,
            config=StrawberryConfig(
                disable_field_suggestions=True, enable_experimental_incremental_execution=True
            ),
            extensions=[
                _parser_cache,
                _validation_cache,
            ],
        )
        base = self._schema
        types = RecordTypes(graph.objects, base.type_map)
        query_type = base.query_type
        assert query_type is not None
        records = dict(types.root_fields())
        fields = {**query_type.fields, **records}
        fields |= entity_field(types.entities(), _resolve_setwise)
        self._schema = GraphQLSchema(
            query=GraphQLObjectType("Query", fields),
            subscription=_subscription(records),
            directives=base.directives,
            extensions=base.extensions,
        )
        self._schema._strawberry_schema = self  # type: ignore[attr-defined]

    @property
    def core(self) -> GraphQLSchema:
        """Return the schema as graphql-core knows it."""
        return self._schema

    def prepare(self, text: str) -> None:
        """Parse and validate a document, so that asking it needs neither. For worker threads."""
        with suppress(GraphQLError):  # whoever asks it is told
            document = _parser_cache().cached_parse_document(text)
            _validation_cache().cached_validate_document(
                self._schema, document, tuple(specified_rules)
            )

    def has_type(self, name: str) -> bool:
        """Say whether the schema has a type of that name."""
        return name in self._schema.type_map

    def federated_sdl(self, graph: TenantGraph) -> str:
        """Return the schema of `graph`, or of a part of it, as a subgraph's SDL."""
        return federated_sdl(self._schema, graph)

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Leave logging to respond, and no suggestions: they would name what may be hidden."""
        for error in errors:
            error.message = error.message.partition(" Did you mean ")[0]


def _subscription(records: Mapping[str, GraphQLField]) -> GraphQLObjectType | None:
    """Return the root type of live queries: the very fields that a query reads records with."""
    if not records:
        return None
    return GraphQLObjectType(
        "Subscription",
        records,
        description="One field each, answered at once, and again whenever that changes for you.",
    )


def _parser_cache() -> ParserCache:
    return ParserCache(maxsize=_DOCUMENTS_CACHED_MAX)


def _validation_cache() -> ValidationCache:
    return ValidationCache(maxsize=_DOCUMENTS_CACHED_MAX)


async def _resolve_namespace(
    source: Any, info: GraphQLResolveInfo[GraphContext], **_arguments: Any
) -> Any:
    # Only where parts may follow are the fields below resolved one by one: together is quicker.
    return {} if info.context.takes_parts else await _resolve_setwise(source, info)


async def _resolve_setwise(
    _source: Any, info: GraphQLResolveInfo[GraphContext], **_arguments: Any
) -> Completed:
    completed = await info.context.resolve(info)
    if info.context.takes_parts:
        return await asyncio.to_thread(in_parts, completed, info)
    return completed


class RecordTypes:
    """Builds the object types of every graph object, each once."""

    def __init__(
        self, objects: Mapping[str, GraphObject], shared: Mapping[str, GraphQLNamedType]
    ) -> None:
        self._objects = objects
        page_info = shared["PageInfo"]
        assert isinstance(page_info, GraphQLObjectType)
        self._page_info = page_info
        self._inputs = Inputs(objects)
        self._records: dict[str, GraphQLObjectType] = {}
        self._connections: dict[str, GraphQLObjectType] = {}
        self._aggregates: dict[str, GraphQLObjectType] = {}
        self._keys: dict[str, GraphQLObjectType] = {}

    def entities(self) -> list[GraphQLObjectType]:
        """Return the builder's own types."""
        return [self._record(name) for name, each in self._objects.items() if not each.namespace]

    def root_fields(self) -> Iterator[tuple[str, GraphQLField]]:
        """Yield the builder's root fields and one field per namespace."""
        namespaces: dict[str, list[GraphObject]] = {}
        for found in self._objects.values():
            if found.namespace:
                namespaces.setdefault(found.namespace, []).append(found)
            else:
                yield from self._entry_fields(found, _resolve_setwise)
        for name, members in namespaces.items():
            fields = {
                field_name: field
                for member in members
                for field_name, field in self._entry_fields(member, _resolve_setwise)
            }
            namespace = GraphQLObjectType(
                f"{name[0].upper()}{name[1:]}",
                fields,
                description=f"All objects of the connection {name}, in the provider's own names.",
            )
            yield name, GraphQLField(GraphQLNonNull(namespace), resolve=_resolve_namespace)

    def _entry_fields(self, found: GraphObject, resolve: Any) -> Iterator[tuple[str, GraphQLField]]:
        yield found.list_name, self._list_field(found.type_name, found.description, resolve)
        key_type = GraphQLNonNull(SCALARS[found.fields[found.key].scalar])
        key = GraphQLArgument(key_type)
        yield (
            found.one_name,
            GraphQLField(
                self._record(found.type_name),
                args={found.key: key},
                resolve=resolve,
                description=f"One {found.type_name} by its key, null when there is none to see.",
            ),
        )

        yield (
            found.several_name,
            GraphQLField(
                GraphQLNonNull(GraphQLList(self._record(found.type_name))),
                args={"keys": GraphQLArgument(GraphQLNonNull(GraphQLList(key_type)))},
                resolve=resolve,
                description="Records by their keys, in that order; null for what you cannot see.",
            ),
        )

    def _list_field(self, type_name: str, description: str, resolve: Any = None) -> GraphQLField:
        order = GraphQLList(GraphQLNonNull(self._inputs.order(type_name)))
        return GraphQLField(
            GraphQLNonNull(self._connection(type_name)),
            args={
                "where": GraphQLArgument(self._inputs.where(type_name)),
                "search": GraphQLArgument(
                    GraphQLString,
                    description="Words that stand in the text fields you may read, in any case.",
                ),
                "distinctOn": GraphQLArgument(
                    GraphQLList(GraphQLNonNull(self._inputs.group_by(type_name))),
                    description="Only the first record, in order, of those with equal keys.",
                ),
                "orderBy": GraphQLArgument(order),
                "first": GraphQLArgument(GraphQLInt, description="Page size, 20 when absent."),
                "after": GraphQLArgument(GraphQLString, description="A cursor to go on from."),
                "last": GraphQLArgument(GraphQLInt, description="Page size, counted from the end."),
                "before": GraphQLArgument(GraphQLString, description="A cursor to end before."),
            },
            resolve=resolve,
            description=description or None,
        )

    def _record(self, type_name: str) -> GraphQLObjectType:
        if type_name not in self._records:
            found = self._objects[type_name]
            self._records[type_name] = GraphQLObjectType(
                type_name,
                lambda: dict(self._record_fields(found)),
                description=found.description or None,
            )
        return self._records[type_name]

    def _record_fields(self, found: GraphObject) -> Iterator[tuple[str, GraphQLField]]:
        for each in found.fields.values():
            output: Any = _output(each)
            if each.name == found.key:
                output = GraphQLNonNull(output)
            yield each.name, lean(GraphQLField(output, description=_described(each)))
        for relation in found.relations.values():
            if relation.many:
                yield relation.name, self._list_field(relation.target, relation.description)
            else:
                target = self._record(relation.target)
                description = relation.description or None
                yield relation.name, GraphQLField(target, description=description)
        for fork in found.forks.values():
            yield fork.name, GraphQLField(self._union(fork), description=fork.description)

        for compound in found.compounds.values():
            parts = GraphQLNonNull(self._parts(found, compound))
            yield compound.name, GraphQLField(parts, description=compound.description)

    def _parts(self, found: GraphObject, compound: GraphCompound) -> GraphQLObjectType:
        """Return the type of a compound; ask once per compound, for its name is its place."""
        fields = {part: found.fields[own] for part, own in compound.parts.items()}
        return GraphQLObjectType(
            compound.type_name,
            lambda: {
                part: GraphQLField(_output(each), description=_described(each))
                for part, each in fields.items()
            },
        )

    def _union(self, fork: GraphFork) -> GraphQLUnionType:
        """Return the union of a fork; ask once per fork, for its name is its place."""
        return GraphQLUnionType(
            fork.type_name,
            lambda: [self._record(way.target) for way in fork.ways],
            description="A record of one of these types; `__typename` tells which.",
        )

    def _connection(self, type_name: str) -> GraphQLObjectType:
        if type_name not in self._connections:
            self._connections[type_name] = GraphQLObjectType(
                f"{type_name}Connection", lambda: self._connection_fields(type_name)
            )
        return self._connections[type_name]

    def _connection_fields(self, type_name: str) -> dict[str, GraphQLField]:
        record = GraphQLNonNull(self._record(type_name))
        edge = GraphQLObjectType(
            f"{type_name}Edge",
            {"cursor": GraphQLField(GraphQLNonNull(GraphQLString)), "node": GraphQLField(record)},
        )
        return {
            "nodes": GraphQLField(GraphQLNonNull(GraphQLList(record))),
            "edges": GraphQLField(GraphQLNonNull(GraphQLList(GraphQLNonNull(edge)))),
            "pageInfo": GraphQLField(GraphQLNonNull(self._page_info)),
            "totalCount": GraphQLField(
                GraphQLNonNull(GraphQLInt), description="All matching records you may see."
            ),
            "aggregate": GraphQLField(
                GraphQLNonNull(self._aggregate(type_name)),
                description="Over all matching records you may see.",
            ),
            "groupBy": self._group_field(type_name),
        }

    def _group_field(self, type_name: str) -> GraphQLField:
        group = GraphQLObjectType(
            f"{type_name}Group",
            lambda: {
                "key": GraphQLField(GraphQLNonNull(self._group_keys(type_name))),
                "aggregate": GraphQLField(GraphQLNonNull(self._aggregate(type_name))),
            },
        )
        keys = GraphQLList(GraphQLNonNull(self._inputs.group_by(type_name)))
        order = GraphQLList(GraphQLNonNull(self._inputs.group_order(type_name)))
        return GraphQLField(
            GraphQLNonNull(GraphQLList(GraphQLNonNull(group))),
            args={
                "by": GraphQLArgument(GraphQLNonNull(keys)),
                "having": GraphQLArgument(self._inputs.aggregate_where(type_name)),
                "orderBy": GraphQLArgument(order),
                "first": GraphQLArgument(GraphQLInt, description="Groups, 100 when absent."),
            },
            description="All matching records you may see, put together by equal keys.",
        )

    def _group_keys(self, type_name: str) -> GraphQLObjectType:
        if type_name not in self._keys:
            found = self._objects[type_name]
            self._keys[type_name] = GraphQLObjectType(
                f"{type_name}GroupKeys",
                lambda: {
                    **{
                        each.name: _aggregate_field(each.scalar)
                        for each in found.fields.values()
                        if is_sortable(each)
                    },
                    **{
                        relation.name: GraphQLField(
                            GraphQLNonNull(self._group_keys(relation.target))
                        )
                        for relation in found.relations.values()
                        if not relation.many
                    },
                },
                description="Only what was named in `by`.",
            )
        return self._keys[type_name]

    def _aggregate(self, type_name: str) -> GraphQLObjectType:
        if type_name in self._aggregates:
            return self._aggregates[type_name]
        fields = {"count": GraphQLField(GraphQLNonNull(GraphQLInt))}
        kinds: dict[str, GraphQLObjectType] = {}
        for function, scalars in AGGREGATES.items():
            operands = operands_of(self._objects[type_name], scalars)
            if not operands:
                continue
            name = f"{type_name}{AGGREGATE_TYPES[function]}"
            if name not in kinds:
                kinds[name] = GraphQLObjectType(name, partial(_values, function, operands))
            fields[function] = GraphQLField(GraphQLNonNull(kinds[name]))
        if f"{type_name}Statistics" in kinds:
            fields["percentile"] = GraphQLField(
                GraphQLNonNull(kinds[f"{type_name}Statistics"]),
                args={"p": GraphQLArgument(GraphQLNonNull(GraphQLFloat))},
                description="Interpolated between the nearest two values; p is from 0 to 1.",
            )
        self._aggregates[type_name] = GraphQLObjectType(f"{type_name}Aggregate", fields)
        return self._aggregates[type_name]


def _values(function: str, operands: Sequence[GraphField]) -> dict[str, GraphQLField]:
    return {
        each.name: _aggregate_field(aggregate_scalar(function, each.scalar)) for each in operands
    }


@cache
def _aggregate_field(scalar: ScalarName) -> GraphQLField:
    return GraphQLField(SCALARS[scalar])


def _output(each: GraphField) -> Any:
    scalar = SCALARS[each.scalar]
    return GraphQLList(GraphQLNonNull(scalar)) if each.scalar == "strings" else scalar


def _described(each: GraphField) -> str | None:
    if not each.choices_text:
        return each.description or None
    return sentences(each.description, each.choices_text)
