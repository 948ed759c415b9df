"""Questions and answers, as the edges ask and receive them.

Takes what respond worked out; the web edge and the CLI receive JSON.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from graphql import DocumentNode, GraphQLError

from firnline.errors import FirnlineError
from firnline.graph.explain.explanation import Detail
from firnline.graph.freshness import NEVER, Freshness
from firnline.graph.memory.repeats import Repeat
from firnline.graph.parts import Following
from firnline.graph.request import GraphContext

_LOG = logging.getLogger("firnline.graph")


@dataclass(frozen=True, slots=True)
class Question:
    """One GraphQL request: a document or the id of a published one.

    `published` is for whoever looked the document up already: its operation's name and id.
    """

    query: str | None = None
    document_id: str | None = None
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    explain: Detail | None = None
    takes_parts: bool = False
    published: tuple[str, ...] = ()


class Ran(Protocol):
    """The document that was asked, parsed; `published` are its operation's name and id."""

    @property
    def text(self) -> str:
        """Return it as it was sent or published."""
        ...

    @property
    def document(self) -> DocumentNode:
        """Return it parsed."""
        ...

    @property
    def published(self) -> tuple[str, ...]:
        """Return nothing for a text that nobody published."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A GraphQL response. `executed` is false when the document was refused before it ran.

    `records` are those in `content`, counted wherever they stand.
    """

    content: bytes | None  # of `data`, as JSON
    errors: tuple[Mapping[str, Any], ...] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)
    statements: tuple[tuple[str, int], ...] = ()
    executed: bool = True
    later: Following | None = None
    is_kept: bool = False  # given before, and nothing that made it has changed since
    ran: Ran | None = field(default=None, repr=False)
    records: int = 0
    repeat: Repeat | None = None  # of a kept one

    @property
    def data(self) -> Any:
        """Return `data` as Python values."""
        return None if self.content is None else orjson.loads(self.content)

    def body(self, *, is_marked: bool = True) -> bytes:
        """Return the response as JSON, errors first as the specification advises.

        `is_marked` tells in the extensions that it was kept; the rest does not depend on that.
        """
        if self.is_kept:
            assert self.content is not None
            return kept_body(self.content, self.told(is_marked=is_marked))
        parts: dict[str, Any] = {}
        if self.errors:
            parts["errors"] = list(self.errors)
        if self.executed:
            parts["data"] = None if self.content is None else orjson.Fragment(self.content)
        if self.extensions:
            parts["extensions"] = self.extensions
        return orjson.dumps(parts)

    def told(self, *, is_marked: bool = True) -> bytes:
        """Return the extensions as JSON."""
        mark = {"cache": "hit"} if self.is_kept and is_marked else {}
        return orjson.dumps({**self.extensions, **mark})


def kept_body(content: bytes, told: bytes) -> bytes:
    """Return the response that gives `data` again; what is kept has no errors."""
    return b"".join((b'{"data":', content, b',"extensions":', told, b"}"))


def extensions_of(context: GraphContext, freshness: Freshness) -> dict[str, Any]:
    """Return what was withheld, and how old the data is."""
    found: dict[str, Any] = {
        "access": [note.as_dict() for _, note in sorted(context.notes.items())],
    }
    if context.checks is not None:
        found["access"] += context.checks.told()
    found["freshness"] = {
        f"{connection}.{name}": freshness.get((connection, name), NEVER)
        for connection, name in sorted(context.objects_read)
    }
    return found


def code_of(error: Mapping[str, Any]) -> str:
    """Return an error's code."""
    return str(error.get("extensions", {}).get("code", ""))


def formatted(error: GraphQLError) -> Mapping[str, Any]:
    """Return an error as clients read it: what is wrong, its code, and what to do."""
    original = error.original_error
    shown: dict[str, Any] = dict(error.formatted)
    if isinstance(original, FirnlineError):
        facts = original.as_dict()
        shown["message"] = facts.pop("message")
        shown["extensions"] = facts
    elif original is not None and not isinstance(original, GraphQLError):
        incident = uuid.uuid4().hex[:12]
        _LOG.error("operation failed, incident %s", incident, exc_info=original)
        shown["message"] = f"the operation failed inside the gateway (incident {incident})"
        shown["extensions"] = {
            "code": "internal",
            "hint": "Report the incident number to the operator of this gateway.",
        }
    else:
        shown["extensions"] = {
            "code": "operation_refused",
            "hint": "Check names, arguments and variables against the tenant's schema.",
        }
    return shown
