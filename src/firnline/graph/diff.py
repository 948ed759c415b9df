"""What changed between two schemas, and which published operations feel it.

Takes two SDL texts and operations; `firnline schema diff` shows the result. A change is breaking
(old operations may fail), dangerous (they run, but may answer differently) or safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graphql import (
    BreakingChange,
    DangerousChange,
    DocumentNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    parse,
    type_from_ast,
    validate,
    visit,
)
from graphql.utilities import find_schema_changes

from firnline.errors import UsageError
from firnline.state.rows import OperationRow

Severity = Literal["breaking", "dangerous", "safe"]
SEVERITIES: tuple[Severity, ...] = ("breaking", "dangerous", "safe")
_COORDINATE = re.compile(
    r"^(?:Description of )?"
    r"(?:(?:Field|Argument|Enum value|Standard scalar|Directive|field|input-field|argument"
    r"|enum value|An? (?:required|optional) (?:field|argument)"
    r"|Repeatable flag was (?:removed from|added to)) )?"
    r"(@?[_A-Za-z]\w*(?:\.[_A-Za-z]\w*)?(?: ?\(\w+:\))?)"
)

_UNION = re.compile(r"(?:added to|removed from) union type (\w+)")  # its member comes first


class SchemaTextError(UsageError):
    """A text that should be a schema is none."""

    code = "schema_invalid"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"{name} is not a GraphQL schema: {problem}",
            hint="Save one with `firnline schema TENANT --output FILE`.",
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `coordinate` is Type, Type.field, Type.field(argument:) or @directive."""

    severity: Severity
    kind: str
    coordinate: str
    description: str


@dataclass(frozen=True, slots=True)
class AffectedOperation:
    """A published operation that the new schema refuses (`problems`) or answers differently."""

    operation_id: str
    name: str
    problems: tuple[str, ...]
    coordinates: tuple[str, ...]  # of breaking and dangerous changes that it uses

    @property
    def is_broken(self) -> bool:
        """Say whether the new schema refuses the operation."""
        return bool(self.problems)


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """All changes, worst first, and the operations that they affect."""

    changes: tuple[Change, ...]
    operations: tuple[AffectedOperation, ...]

    @property
    def is_breaking(self) -> bool:
        """Say whether old operations may fail."""
        return any(change.severity == "breaking" for change in self.changes)

    def counts(self) -> dict[Severity, int]:
        """Return the number of changes of each severity."""
        return {
            severity: sum(change.severity == severity for change in self.changes)
            for severity in SEVERITIES
        }


def read_schema(text: str, name: str) -> GraphQLSchema:
    """Return the schema of an SDL text; raises SchemaTextError naming `name`."""
    try:
        return build_schema(text)
    except (GraphQLSyntaxError, TypeError) as error:
        raise SchemaTextError(name, str(error).splitlines()[0]) from None


def compared(
    old: GraphQLSchema, new: GraphQLSchema, operations: Iterable[OperationRow] = ()
) -> SchemaDiff:
    """Return what changed from `old` to `new`."""
    changes = sorted(
        {
            Change(_severity(each), each.type.name, _coordinate(each.description), each.description)
            for each in find_schema_changes(old, new)
        },
        key=lambda change: (SEVERITIES.index(change.severity), change.coordinate, change.kind),
    )
    affected = (_affected(row, old, new, changes) for row in operations)
    return SchemaDiff(tuple(changes), tuple(each for each in affected if each is not None))


def _severity(change: Any) -> Severity:
    if isinstance(change, BreakingChange):
        return "breaking"
    return "dangerous" if isinstance(change, DangerousChange) else "safe"


def _coordinate(description: str) -> str:
    found = _UNION.search(description) or _COORDINATE.match(description)
    return found[1].replace(" ", "") if found else ""


def _affected(
    row: OperationRow, old: GraphQLSchema, new: GraphQLSchema, changes: Sequence[Change]
) -> AffectedOperation | None:
    document = parse(row.text)
    problems = tuple(problem.message for problem in validate(new, document))
    used = _used(document, old)
    felt = {
        change.coordinate
        for change in changes
        if change.severity != "safe" and used.has(change.coordinate)
    }
    if not problems and not felt:
        return None
    return AffectedOperation(row.operation_id, row.name, problems, tuple(sorted(felt)))


@dataclass(slots=True)
class _Used:
    coordinates: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)  # inputs that variables fill, enums in answers

    def has(self, coordinate: str) -> bool:
        return coordinate in self.coordinates or coordinate.partition(".")[0] in self.whole


def _used(document: DocumentNode, schema: GraphQLSchema) -> _Used:
    known = TypeInfo(schema)
    collector = _Collector(known, schema)
    visit(document, TypeInfoVisitor(known, collector))
    return collector.used


class _Collector(Visitor):
    def __init__(self, known: TypeInfo, schema: GraphQLSchema) -> None:
        super().__init__()
        self._known = known
        self._schema = schema
        self.used = _Used()

    def enter_field(self, node: Any, *_: Any) -> None:
        parent, output = self._known.get_parent_type(), self._known.get_type()
        if parent is not None:
            self.used.coordinates |= {parent.name, f"{parent.name}.{node.name.value}"}
        if output is not None:
            named = get_named_type(output)
            self.used.coordinates.add(named.name)
            if isinstance(named, GraphQLEnumType):
                self.used.whole.add(named.name)

    def enter_argument(self, node: Any, *_: Any) -> None:
        parent, owner = self._known.get_parent_type(), self._known.get_field_def()
        if parent is None or owner is None:
            return
        # Which of the parent's fields this is, the definition alone does not tell.
        name = next((n for n, each in parent.fields.items() if each is owner), "")  # type: ignore[union-attr]
        self.used.coordinates.add(f"{parent.name}.{name}({node.name.value}:)")

    def enter_object_field(self, node: Any, *_: Any) -> None:
        owner = self._known.get_parent_input_type()
        if owner is not None:
            name = get_named_type(owner).name
            self.used.coordinates |= {name, f"{name}.{node.name.value}"}

    def enter_enum_value(self, node: Any, *_: Any) -> None:
        type_ = self._known.get_input_type()
        if type_ is not None:
            name = get_named_type(type_).name
            self.used.coordinates |= {name, f"{name}.{node.value}"}

    def enter_directive(self, node: Any, *_: Any) -> None:
        self.used.coordinates.add(f"@{node.name.value}")

    def enter_variable_definition(self, node: Any, *_: Any) -> None:
        type_ = type_from_ast(self._schema, node.type)
        if type_ is not None:
            self.used.whole |= set(_reachable(get_named_type(type_)))


def _reachable(type_: Any) -> Iterator[str]:
    """Yield the type and all inputs below it, each once."""
    found, waiting = {type_.name}, [type_]
    for current in waiting:
        yield current.name
        if isinstance(current, GraphQLInputObjectType):
            for each in current.fields.values():
                inner = get_named_type(each.type)
                if inner.name not in found:
                    found.add(inner.name)
                    waiting.append(inner)
