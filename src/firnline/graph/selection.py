"""Selections: which fields an operation asks of one type, with directives and fragments applied.

Takes field nodes of a validated document; plan receives response keys in order, fields of equal
response key merged as the GraphQL specification says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSkipDirective,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
)
from graphql.execution.values import get_argument_values, get_directive_values

from firnline.graph.memory.criteria import Path


class Selected:
    """One response key of a selection: the field and all nodes that ask for it."""

    __slots__ = ("definition", "key", "nodes", "type")

    def __init__(self, key: str, type_: GraphQLObjectType, node: FieldNode) -> None:
        self.key = key
        self.type = type_
        self.nodes = [node]
        self.definition: GraphQLField | None = type_.fields.get(node.name.value)

    @property
    def name(self) -> str:
        """Return the field's name."""
        return self.nodes[0].name.value

    @property
    def object_type(self) -> GraphQLObjectType:
        """Return the object type that the field gives, one or several of it."""
        assert self.definition is not None
        named = get_named_type(self.definition.type)
        assert isinstance(named, GraphQLObjectType)
        return named

    def of_type(self, type_: GraphQLObjectType) -> Selected:
        """Return the same selection as if the field gave records of `type_` alone."""
        selected = Selected(self.key, self.type, self.nodes[0])
        selected.nodes = self.nodes
        selected.definition = GraphQLField(type_)
        return selected


class Selections:
    """Reads selections of one operation."""

    def __init__(self, info: GraphQLResolveInfo[Any], variables: Any) -> None:
        self._fragments: Mapping[str, FragmentDefinitionNode] = info.fragments
        self._schema = info.schema
        self._variables = variables

    def of(self, type_: GraphQLObjectType, nodes: Iterable[FieldNode]) -> list[Selected]:
        """Return what `nodes` select of `type_`, in response order."""
        found: dict[str, Selected] = {}
        for node in nodes:
            if node.selection_set is None:
                continue
            for field in self._fields(type_, node.selection_set, set()):
                key = field.alias.value if field.alias else field.name.value
                if key in found:
                    found[key].nodes.append(field)
                else:
                    found[key] = Selected(key, type_, field)
        return list(found.values())

    def arguments(self, selected: Selected) -> dict[str, Any]:
        """Return the coerced arguments of a selected field; absent ones are left out."""
        if selected.definition is None or not selected.definition.args:
            return {}
        return get_argument_values(selected.definition, selected.nodes[0], self._variables)

    def operands(self, selected: Selected) -> dict[Path, VariableNode]:
        """Return the variables that stand for a whole value within `where`, by the way to it.

        That of `$a` in `where: {or: [{field: {eq: $a}}]}` is ("or", 0, "field", "eq").
        """
        for argument in selected.nodes[0].arguments or ():
            if argument.name.value == "where":
                return dict(_variables(argument.value, ()))
        return {}

    def variable(self, selected: Selected, name: str) -> VariableNode | None:
        """Return the variable that stands for the argument `name`."""
        for argument in selected.nodes[0].arguments or ():
            if argument.name.value == name and isinstance(argument.value, VariableNode):
                return argument.value
        return None

    def _fields(
        self, type_: GraphQLObjectType, selection_set: SelectionSetNode, seen: set[str]
    ) -> Iterator[FieldNode]:
        for node in selection_set.selections:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                if condition is None or self._applies(condition.name.value, type_):
                    yield from self._fields(type_, node.selection_set, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                fragment = self._fragments[node.name.value]
                fragment = getattr(fragment, "definition", fragment)
                if self._applies(fragment.type_condition.name.value, type_):
                    yield from self._fields(type_, fragment.selection_set, seen)

    def _applies(self, condition: str, type_: GraphQLObjectType) -> bool:
        """Say whether a fragment on `condition` is about `type_`: the type, or a union with it."""
        if condition == type_.name:
            return True
        abstract = self._schema.get_type(condition)
        return is_abstract_type(abstract) and self._schema.is_sub_type(abstract, type_)

    def _is_included(self, node: Any) -> bool:
        if not node.directives:
            return True
        skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
        if skip and skip["if"]:
            return False
        include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        return not include or bool(include["if"])


def _variables(value: ValueNode, path: Path) -> Iterator[tuple[Path, VariableNode]]:
    if isinstance(value, VariableNode):
        yield path, value
    elif isinstance(value, ObjectValueNode):
        for field in value.fields:
            yield from _variables(field.value, (*path, field.name.value))
    elif isinstance(value, ListValueNode):
        for number, each in enumerate(value.values):
            yield from _variables(each, (*path, number))
