"""Answers in parts over HTTP: `multipart/mixed`, one JSON text per part.

Takes an answer that parts follow; the client receives the answer at once and each part as it comes,
in the form it accepts: the current one (`pending`, `incremental` by id, `completed`), or that of
2022, which Apollo's clients ask for with `deferSpec=20220824` (`incremental` by path).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from firnline.graph.deadline import Deadline, DeadlineError
from firnline.web.departure import while_connected
from firnline.web.gateway import GraphAnswer, Later

MULTIPART = "multipart/mixed"
_BOUNDARY = b"---"  # two dashes, and the boundary's own
_OLD = "20220824"
_PART_HEAD = b"\r\nContent-Type: application/json; charset=utf-8\r\n\r\n"
_SPEC_PARAMETERS = frozenset({"deferspec", "incrementalspec"})
_RANGES_MAX = 32
_FORMS = frozenset({"", "v0.2", _OLD})


def accepted_form(accept: str) -> str | None:
    """Return the form of parts that a client accepts, None where it takes whole answers only."""
    if MULTIPART not in accept:
        return None
    for each in accept.split(",")[:_RANGES_MAX]:
        media, *parameters = (piece.strip().lower() for piece in each.split(";"))
        named = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        form = next((named[name].strip('"') for name in named if name in _SPEC_PARAMETERS), "")
        if media == MULTIPART and "subscriptionspec" not in named and form in _FORMS:
            return form
    return None


@dataclass(frozen=True, slots=True)
class PartsReply:
    """An answer and its parts as an ASGI response."""

    answer: GraphAnswer
    later: Later
    form: str
    deadline: Deadline
    ended: Callable[[], Awaitable[None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send(receive, send)
        finally:
            await self.later.close()
            await self.ended()

    async def _send(self, receive: Receive, send: Send) -> None:
        spec = f"; deferSpec={_OLD}" if self.form == _OLD else ""
        kind = f'{MULTIPART}; boundary="-"{spec}'
        headers = [(b"content-type", kind.encode()), (b"vary", b"Accept, Authorization")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        dialect = _ByPath(self.later) if self.form == _OLD else _ById(self.later)
        first = orjson.dumps(dialect.first)
        # The answer is JSON already: what parts add is put before its closing brace.
        part: bytes | None = self.answer.body[:-1] + b"," + first[1:]
        before = _BOUNDARY
        while part is not None:
            # The boundary comes with the part that it ends: clients wait for it.
            body = before + _PART_HEAD + part + b"\r\n" + _BOUNDARY
            await send({"type": "http.response.body", "body": body, "more_body": True})
            part, before = await self._next(receive, dialect), b""
        await send({"type": "http.response.body", "body": b"--\r\n", "more_body": False})

    async def _next(self, receive: Receive, dialect: _ById | _ByPath) -> bytes | None:
        if dialect.is_done:
            return None
        try:
            facts = await while_connected(self.later.next(), receive, self.deadline)
        except DeadlineError as error:
            facts = self.later.failed(error)
        return None if facts is None else orjson.dumps(dialect.part(facts))


class _ById:
    """The current form, as it is."""

    def __init__(self, later: Later) -> None:
        self.first = later.first
        self.is_done = False

    def part(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        self.is_done = not facts["hasNext"]
        return facts


class _ByPath:
    """The form of 2022: parts name their path and label, nothing is announced."""

    def __init__(self, later: Later) -> None:
        self._later = later
        self._streamed: Counter[str] = Counter()
        self._pending = {each["id"]: each for each in later.first["pending"]}
        self.first = {"hasNext": later.first["hasNext"]}
        self.is_done = False

    def part(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        self.is_done = not facts["hasNext"]
        self._pending |= {each["id"]: each for each in facts.get("pending", ())}
        parts = [self._placed(each) for each in facts.get("incremental", ())]
        parts += [
            self._placed(each | {self._member(each): None})
            for each in facts.get("completed", ())
            if "errors" in each
        ]
        told: dict[str, Any] = {"hasNext": facts["hasNext"]}
        if parts:
            told["incremental"] = parts
        if "extensions" in facts:
            told["extensions"] = facts["extensions"]
        return told

    def _member(self, each: Mapping[str, Any]) -> str:
        return "items" if each["id"] in self._later.offsets else "data"

    def _placed(self, each: Mapping[str, Any]) -> dict[str, Any]:
        pending, member = self._pending[each["id"]], self._member(each)
        placed = {"path": [*pending["path"], *each.get("subPath", ())], member: each[member]}
        if member == "items":  # named by the first of them
            placed["path"].append(self._later.offsets[each["id"]] + self._streamed[each["id"]])
            self._streamed[each["id"]] += len(each["items"] or ())
        if "label" in pending:
            placed["label"] = pending["label"]
        return placed | ({"errors": each["errors"]} if "errors" in each else {})
