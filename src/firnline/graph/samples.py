"""Values for an operation's variables where nobody asks it: to plan it before it is asked.

Takes a document and what is known of earlier questions; rehearsal plans it with the result. A value
that shapes the plan is kept only if it can tell nothing of a person: whole numbers such as page
sizes, switches, and words of the schema. Every other value is made up by its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLType,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    type_from_ast,
    visit,
)

from firnline.graph.window import PAGE_MAX

_PAGES = frozenset({"first", "last"})
_SWITCHES = frozenset({"Boolean", "Int"})
_DEPTH_MAX = 4  # of required fields within required fields
_MADE_UP: Mapping[str, Any] = {
    "Boolean": True,
    "Int": 1,
    "Float": 1.0,
    "Long": 1,
    "Decimal": "1",
    "Date": "2000-01-01",
    "DateTime": "2000-01-01T00:00:00Z",
    "Time": "00:00:00",
    "JSON": {},
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is kept of the variables of a question.

    `values` are of variables that shape the plan, `present` the names of those that have a value
    which does not.
    """

    values: Mapping[str, Any]
    present: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """Variables to plan an operation with. `made_up` and `pages` are names among them."""

    variables: Mapping[str, Any]
    made_up: frozenset[str] = frozenset()
    pages: frozenset[str] = frozenset()

    def with_pages(self, size: int) -> Mapping[str, Any]:
        """Return the variables with another size for pages that a variable gives."""
        return {**self.variables, **dict.fromkeys(self.pages, size)}


def sample_of(document: DocumentNode, schema: GraphQLSchema, shape: Shape | None = None) -> Sample:
    """Return variables for a document's operation: those of `shape`, the others made up.

    Without a shape every page is the largest and nothing is skipped; what need not be given is not.
    """
    roles = _Roles()
    visit(document, roles)
    variables: dict[str, Any] = {}
    made_up: set[str] = set()
    for definition in _definitions(document):
        name = definition.variable.name.value
        if shape is not None and name in shape.values:
            variables[name] = shape.values[name]
        elif shape is None and name in roles.pages and definition.default_value is None:
            variables[name] = PAGE_MAX
        elif _is_wanted(definition, shape):
            type_ = type_from_ast(schema, definition.type)
            variables[name] = name not in roles.skips if name in roles.switches else _of(type_)
            if name not in roles.switches:
                made_up.add(name)
    return Sample(variables, frozenset(made_up), frozenset(roles.pages & variables.keys()))


def shape_of(
    document: DocumentNode,
    schema: GraphQLSchema,
    variables: Mapping[str, Any],
    *,
    shaping: tuple[str, ...],
) -> Shape | None:
    """Return what may be kept of a question's variables, None where that does not give its plan."""
    values: dict[str, Any] = {}
    present: list[str] = []
    for definition in _definitions(document):
        name = definition.variable.name.value
        if name not in variables:
            continue
        value = variables[name]
        if name not in shaping:
            present += [name] if value is not None else []
        elif _tells_nothing(type_from_ast(schema, definition.type), value):
            values[name] = value
        else:
            return None
    return Shape(values, tuple(present))


def _definitions(document: DocumentNode) -> list[VariableDefinitionNode]:
    return [
        definition
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
        for definition in node.variable_definitions or ()
    ]


def _is_wanted(definition: VariableDefinitionNode, shape: Shape | None) -> bool:
    if shape is not None and definition.variable.name.value in shape.present:
        return True
    return definition.type.kind == "non_null_type" and definition.default_value is None


def _of(type_: GraphQLType | None, depth: int = 0) -> Any:
    """Return a value of a type."""
    if isinstance(type_, GraphQLNonNull):
        return _of(type_.of_type, depth)
    if isinstance(type_, GraphQLList):
        return [_of(type_.of_type, depth)]
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        return {
            name: _of(field.type, depth + 1)
            for name, field in type_.fields.items()
            if isinstance(field.type, GraphQLNonNull) and depth < _DEPTH_MAX
        }
    return _MADE_UP.get(getattr(type_, "name", ""), "x")


def _tells_nothing(type_: GraphQLType | None, value: Any, *, is_inner: bool = False) -> bool:
    """Say whether a value is a switch, a whole number on its own, or words of the schema."""
    if isinstance(type_, GraphQLNonNull):
        return _tells_nothing(type_.of_type, value, is_inner=is_inner)
    if value is None:
        return True
    if isinstance(type_, GraphQLList):
        each = value if isinstance(value, list) else [value]
        return all(_tells_nothing(type_.of_type, one, is_inner=True) for one in each)
    if isinstance(type_, GraphQLEnumType):
        return isinstance(value, str) and value in type_.values
    if isinstance(type_, GraphQLInputObjectType):
        return isinstance(value, Mapping) and all(
            name in type_.fields and _tells_nothing(type_.fields[name].type, one, is_inner=True)
            for name, one in value.items()
        )
    is_plain = getattr(type_, "name", "") in _SWITCHES and isinstance(value, int)
    return is_plain and (isinstance(value, bool) or not is_inner)


class _Roles(Visitor):
    """Collects the variables that give page sizes, and those that include or skip."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: set[str] = set()
        self.switches: set[str] = set()
        self.skips: set[str] = set()

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        if node.name.value in _PAGES and isinstance(node.value, VariableNode):
            self.pages.add(node.value.name.value)

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                name = argument.value.name.value
                self.switches.add(name)
                if node.name.value == "skip":
                    self.skips.add(name)
