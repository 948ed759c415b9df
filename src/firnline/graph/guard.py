"""Limits before validation: what a document may cost to look at.

Takes the text; respond goes on only with what passes. Every check is linear in the document:
expanded selections are counted with memory of each fragment, never by expanding it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    Lexer,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    TokenKind,
    parse,
)

from firnline.errors import FirnlineError

_OPENING = frozenset({TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L})
_CLOSING = frozenset({TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R})
_COUNT_MAX = 1_000_000_000  # counts saturate here


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """The largest document that is worth planning."""

    bytes_max: int = 64 * 1024
    tokens_max: int = 2_000
    depth_max: int = 12
    introspection_depth_max: int = 20  # tools ask for a type's wrappers, nine levels of them
    selections_max: int = 2_000
    same_key_max: int = 10  # in one pair of braces
    merged_key_max: int = 20  # at one place of the answer, fragments expanded
    spreads_max: int = 60
    directives_max: int = 100
    root_fields_max: int = 20


class DocumentError(FirnlineError):
    """The document is not GraphQL."""

    code = "document_invalid"
    status = 400


class VariablesError(FirnlineError):
    """The variables cannot be looked at."""

    code = "variables_invalid"
    status = 400


class DocumentTooLargeError(FirnlineError):
    """The document is over a limit."""

    code = "document_too_large"
    status = 400

    def __init__(self, what: str, found: int | str, limit: int) -> None:
        super().__init__(
            f"the document has {found} {what}, the limit is {limit}",
            hint="Split the operation, or ask for less at once.",
        )


def guarded(text: str, limits: DocumentLimits) -> DocumentNode:
    """Return the parsed document; raises DocumentError or DocumentTooLargeError."""
    size = len(text.encode("utf-8", "replace"))
    if size > limits.bytes_max:
        raise DocumentTooLargeError("bytes", size, limits.bytes_max)
    try:
        _check_tokens(text, limits)
        document = parse(text)
    except GraphQLSyntaxError as error:
        line = error.locations[0] if error.locations else None
        where = f" at line {line.line}, column {line.column}" if line else ""
        raise DocumentError(
            f"{error.message}{where}", hint="Check the operation's braces and names."
        ) from None
    _Counter(document, limits).check()
    return document


def guard_variables(variables: object, limits: DocumentLimits) -> None:
    """Raise VariablesError when variables nest too deeply to walk, or hold text that is none."""
    level: list[object] = [variables]
    for _ in range(limits.depth_max * 4):
        if any(isinstance(each, str) and not _is_unicode(each) for each in level):
            raise VariablesError(
                "a variable holds half of a surrogate pair", hint="Send well-formed Unicode."
            )
        level = [inner for each in level for inner in _members(each)]
        if not level:
            return
    raise VariablesError(
        f"the variables nest deeper than {limits.depth_max * 4} levels",
        hint="Flatten the filter, or split the operation.",
    )


def _members(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return (*value.keys(), *value.values())
    return value if isinstance(value, list | tuple) else ()


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_tokens(text: str, limits: DocumentLimits) -> None:
    # The parser recurses per bracket: refuse before it can run out of stack. Only the lexer knows
    # which brackets stand in strings and comments. Lists and input objects nest, too, so the bound
    # is wider than the depth of selections.
    allowed = limits.depth_max * 4
    lexer = Lexer(Source(text))
    depth = directives = spreads = 0
    for count in range(limits.tokens_max + 1):
        kind = lexer.advance().kind
        directives += kind is TokenKind.AT
        spreads += kind is TokenKind.SPREAD
        if kind in _OPENING:
            depth += 1
        elif kind in _CLOSING:
            depth -= 1
        elif kind is TokenKind.EOF:
            return
        if depth > allowed:
            raise DocumentTooLargeError("levels of nesting", f"more than {allowed}", allowed)
        if directives > limits.directives_max:
            limit = limits.directives_max
            raise DocumentTooLargeError("directives", f"more than {limit}", limit)
        if spreads > limits.spreads_max:
            limit = limits.spreads_max
            raise DocumentTooLargeError("fragments", f"more than {limit}", limit)
        if count == limits.tokens_max:
            limit = limits.tokens_max
            raise DocumentTooLargeError("tokens", f"more than {limit}", limit)


@dataclass(frozen=True, slots=True)
class _Size:
    selections: int
    depth: int


class _Counter:
    def __init__(self, document: DocumentNode, limits: DocumentLimits) -> None:
        self._limits = limits
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._operations = [
            node for node in document.definitions if isinstance(node, OperationDefinitionNode)
        ]
        self._sizes: dict[str, _Size] = {}
        self._open: set[str] = set()

    def check(self) -> None:
        for name in self._fragments:
            self._fragment(name)
        self._check_sizes()
        for operation in self._operations:
            self._check_merging([operation.selection_set])
        for fragment in self._fragments.values():  # validation looks at unused ones, too
            self._check_merging([fragment.selection_set])

    def _check_sizes(self) -> None:
        total = sum(size.selections for size in self._sizes.values())
        if total > 4 * self._limits.selections_max:
            limit = 4 * self._limits.selections_max
            raise DocumentTooLargeError("selections in fragments", total, limit)
        for operation in self._operations:
            size = self._set(operation.selection_set)
            if size.depth > self._limits.depth_max:
                limit = self._limits.depth_max
                raise DocumentTooLargeError("levels of depth", size.depth, limit)
            if size.selections > self._limits.selections_max:
                limit = self._limits.selections_max
                raise DocumentTooLargeError("expanded selections", size.selections, limit)
            roots = sum(1 for _ in self._expanded(operation.selection_set))
            if roots > self._limits.root_fields_max:
                limit = self._limits.root_fields_max
                raise DocumentTooLargeError("root fields", roots, limit)

    def _check_merging(self, sets: Sequence[SelectionSetNode]) -> None:
        """Refuse many fields at one place of the answer: validation compares each pair of them.

        Visits what was counted, so no more than the selections allowed.
        """
        places: dict[str, list[SelectionSetNode | None]] = {}
        for selection_set in sets:
            for node in self._expanded(selection_set):
                key = node.alias.value if node.alias else node.name.value
                places.setdefault(key, []).append(node.selection_set)
        for inner in places.values():
            if len(inner) > self._limits.merged_key_max:
                limit = self._limits.merged_key_max
                raise DocumentTooLargeError("selections of one key", len(inner), limit)
            self._check_merging([each for each in inner if each is not None])

    def _expanded(self, selection_set: SelectionSetNode) -> Iterator[FieldNode]:
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._expanded(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value in self._fragments:
                yield from self._expanded(self._fragments[node.name.value].selection_set)

    def _fragment(self, name: str) -> _Size:
        if name in self._open:
            raise DocumentError(
                f"fragment {name} contains itself", hint="Remove the circular spread."
            )
        if name not in self._fragments:
            return _Size(1, 0)  # validation names it
        if name not in self._sizes:
            self._open.add(name)
            self._sizes[name] = self._set(self._fragments[name].selection_set)
            self._open.discard(name)
        return self._sizes[name]

    def _introspection(self, size: _Size) -> _Size:
        # What it reads is the schema, of a size known beforehand: it has a depth of its own.
        limit = self._limits.introspection_depth_max
        if size.depth > limit:
            raise DocumentTooLargeError("levels of introspection", size.depth, limit)
        return _Size(size.selections, 0)

    def _set(self, selection_set: SelectionSetNode) -> _Size:
        selections, depth = 0, 0
        keys: dict[str, int] = {}
        for node in selection_set.selections:
            inner = _Size(0, 0)
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                keys[key] = keys.get(key, 0) + 1
                if keys[key] > self._limits.same_key_max:
                    limit = self._limits.same_key_max
                    raise DocumentTooLargeError("selections of one key", keys[key], limit)
                if node.selection_set:
                    inner = self._set(node.selection_set)
                if node.name.value in ("__schema", "__type"):
                    inner = self._introspection(inner)
                selections += 1 + inner.selections
                depth = max(depth, 1 + inner.depth)
                continue
            if isinstance(node, InlineFragmentNode):
                inner = self._set(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                inner = self._fragment(node.name.value)
            selections += inner.selections
            depth = max(depth, inner.depth)
        return _Size(min(selections, _COUNT_MAX), depth)
