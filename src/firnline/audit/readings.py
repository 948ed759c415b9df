"""What goes on record about one question: which objects and fields it named, and what came of it.

Takes a document with its answer, however that was made; the audit receives a fact without a value
of any field, operand or variable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    ObjectFieldNode,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    type_from_ast,
    visit,
)

from firnline.access.principal import Principal
from firnline.audit.following import outcome_of
from firnline.graph.answer import Answer, Ran, code_of
from firnline.graph.shape import TenantGraph
from firnline.recent import Recent
from firnline.state.rows import AuditFact

_DOCUMENTS_MAX = 1024
_USES = ("Where", "OrderBy")  # inputs of an object, by the end of their name
Named = Mapping[str, Iterable[str]]  # type -> fields
Reads = Mapping[str, Sequence[str]]  # both in order


class Readings:
    """The objects and fields that documents name, worked out once per document."""

    def __init__(self) -> None:
        self._known: Recent[tuple[str, str], tuple[Reads, DocumentNode | None]]
        self._known = Recent(_DOCUMENTS_MAX)

    def of(
        self,
        graph: TenantGraph,
        schema: GraphQLSchema,
        ran: Ran,
        variables: Mapping[str, Any] | None,
    ) -> Reads:
        """Return, by type of the graph, the fields that are selected or decide about records."""
        slot = (graph.shape, ran.text)
        known = self._known.get(slot)
        if known is None:
            named, has_inputs = _named(graph, schema, ran.document)
            known = _sorted(named), ran.document if has_inputs else None
            self._known.put(slot, known)
        static, document = known
        if document is None or not variables:
            return static
        found = defaultdict(set, {name: set(fields) for name, fields in static.items()})
        for name, field in _in_variables(graph, schema, document, variables):
            found[name].add(field)
        return _sorted(found)


def fact_of(
    principal: Principal,
    *,
    at: datetime,
    operation: Iterable[str] = (),
    reads: Mapping[str, Iterable[str]] | None = None,
    answer: Answer | None = None,
    refused: str = "",
) -> AuditFact:
    """Return the fact to record; without an answer it was refused."""
    content: dict[str, Any] = {
        "times": 1,
        "agent": principal.agent,
        "purpose": principal.purpose,
        "credential": principal.credential,
        "operation": list(operation),
        "reads": reads or {},
    }
    if answer is None or not answer.executed:
        codes = [code_of(error) for error in answer.errors[:1]] if answer is not None else []
        content["outcome"] = refused or next(iter(codes), "refused")
    else:
        content |= {
            "outcome": "errors" if answer.errors else "answered",
            "errors": [code_of(error) for error in answer.errors],
            **outcome_of(answer.extensions),
            "from": _source(answer),
            "rows": answer.records,
            "bytes": len(answer.content or b""),
        }
    return AuditFact(principal.tenant, principal.email, at, content)


def part_of(fact: AuditFact, *, at: datetime, added: Mapping[str, Any]) -> AuditFact:
    """Return the fact of a part that follows an answer: who asked what, and what it adds."""
    names = ("agent", "purpose", "credential", "operation", "reads")
    asked = {name: fact.content[name] for name in names}
    content = {"times": 1, **asked, "outcome": "part", **added}
    return AuditFact(fact.tenant, fact.person, at, content)


def _sorted(named: Named) -> Reads:
    return {name: sorted(fields) for name, fields in sorted(named.items())}


def lost_fact(tenant: str, count: int, at: datetime) -> AuditFact:
    """Return the fact that entries are missing."""
    return AuditFact(tenant, "", at, {"outcome": "lost", "lost": count, "reads": {}})


def _source(answer: Answer) -> str:
    if answer.is_kept:
        return "response_cache"
    return "duckdb" if answer.statements else "memory"


def _named(graph: TenantGraph, schema: GraphQLSchema, document: DocumentNode) -> tuple[Named, bool]:
    """Return what a document names, and whether its variables may name more."""
    collected = _Collected(graph, TypeInfo(schema))
    visit(document, TypeInfoVisitor(collected.types, collected))
    has_inputs = any(
        isinstance(get_named_type(type_from_ast(schema, each.type)), GraphQLInputObjectType)
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
        for each in node.variable_definitions or ()
    )
    return (
        {name: frozenset(fields) for name, fields in collected.found.items()},
        has_inputs,
    )


class _Collected(Visitor):
    """Collects what a document names of a graph's objects."""

    def __init__(self, graph: TenantGraph, types: TypeInfo) -> None:
        super().__init__()
        self.graph = graph
        self.types = types
        self.found: defaultdict[str, set[str]] = defaultdict(set)

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent = self.types.get_parent_type()
        returned = get_named_type(self.types.get_type())
        if isinstance(returned, GraphQLObjectType) and "nodes" in returned.fields:
            returned = get_named_type(returned.fields["nodes"].type)  # of a connection
        if returned is not None and returned.name in self.graph.objects:
            self.found[returned.name]  # named, even if nothing but __typename is selected
        if parent is not None:
            self._use(parent.name, node.name.value)

    def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> None:
        parent = get_named_type(self.types.get_parent_input_type())
        if parent is not None:
            self._use(_object_of(parent.name), node.name.value)

    def _use(self, type_name: str, name: str) -> None:
        owner = self.graph.objects.get(type_name)
        if owner is not None and name in owner.fields:
            self.found[type_name].add(name)


def _in_variables(
    graph: TenantGraph,
    schema: GraphQLSchema,
    document: DocumentNode,
    variables: Mapping[str, Any],
) -> Iterable[tuple[str, str]]:
    """Yield what the values of input variables name."""
    for node in document.definitions:
        if not isinstance(node, OperationDefinitionNode):
            continue
        for each in node.variable_definitions or ():
            type_ = get_named_type(type_from_ast(schema, each.type))
            value = variables.get(each.variable.name.value)
            yield from _in_value(graph, type_, value)


def _in_value(graph: TenantGraph, type_: Any, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, list):
        for each in value:
            yield from _in_value(graph, type_, each)
    elif isinstance(type_, GraphQLInputObjectType) and isinstance(value, dict):
        name = _object_of(type_.name)
        for key, inner in value.items():
            field = type_.fields.get(key)
            if field is None:
                continue
            if name in graph.objects and key in graph.objects[name].fields:
                yield name, key
            yield from _in_value(graph, get_named_type(field.type), inner)


def _object_of(input_name: str) -> str:
    for ending in _USES:
        if input_name.endswith(ending):
            return input_name.removesuffix(ending)
    return input_name
