"""The branches of a fork: which types a record may have, for one person, and what is asked of each.

Takes a fork and a selection of it; plan makes one statement per open branch. Types that the person
may not read, or that were never synced, are left out and spoken of only when the document names
them: else their names could be learnt by asking for the union.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from graphql import GraphQLObjectType, GraphQLUnionType, get_named_type

from firnline.graph.permitted import ObjectNotSyncedError
from firnline.graph.request import AccessNote, GraphContext
from firnline.graph.scan import Aliases, MaskedFieldError, Scan
from firnline.graph.selection import Selected, Selections
from firnline.graph.shape import GraphFork, GraphObject, GraphRelation


@dataclass(frozen=True, slots=True)
class Branch:
    """One type that the record may have."""

    way: GraphRelation
    target: GraphObject
    type: GraphQLObjectType
    selected: Selected


class Branches:
    """The branches of one fork for one request."""

    def __init__(self, context: GraphContext, selections: Selections, fork: GraphFork) -> None:
        self._context = context
        self._selections = selections
        self._fork = fork

    def open(self, selected: Selected) -> Iterator[Branch]:
        """Yield the branches that may be read; a closed one that the document names is noted.

        Raises ObjectNotSyncedError for a named type that the person may read but nobody synced.
        """
        assert selected.definition is not None
        union = get_named_type(selected.definition.type)
        assert isinstance(union, GraphQLUnionType)
        types = {type_.name: type_ for type_ in union.types}
        for way in self._fork.ways:
            target = self._context.graph.objects[way.target]
            type_ = types[way.target]
            branch = Branch(way, target, type_, selected.of_type(type_))
            if self._is_open(branch):
                yield branch

    def note_of(self, owner: GraphObject) -> Callable[[], None]:
        """Return what notes that a record of some closed branch may have been meant."""
        note = AccessNote(
            f"{owner.type_name}.{self._fork.name}",
            "denied",
            "a record is of a type that you may not read or that is not synced, or is gone",
            owner.connection,
        )
        return partial(self._context.note, note)

    def _is_open(self, branch: Branch) -> bool:
        target = branch.target
        access = self._context.decisions.object(target.connection, target.source.name)
        is_named = self._is_named(branch)
        quiet = replace(self._context, notes={}, objects_read=set())
        try:
            scan = Scan(quiet, target, Aliases())
            scan.key(branch.way.remote)
        except ObjectNotSyncedError:
            if is_named and access.readable:
                raise
            return False
        except MaskedFieldError as masked:
            if is_named:
                self._context.note(masked.note)
            return False
        if scan.denied is not None and is_named:
            self._context.note(scan.denied)
        return scan.denied is None

    def _is_named(self, branch: Branch) -> bool:
        asked = self._selections.of(branch.type, branch.selected.nodes)
        return any(each.name != "__typename" for each in asked)
