"""Stands before a provider's server: notes every secret that passes, and spoils answers.

What it notes is what the provider was shown and what it issued, read from the wire: the books of
the other side, whatever the client's code remembers of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.end_to_end.canaries.needles import LENGTH_MIN, Secret

# What a parameter of that name holds, sent to a provider or answered by it.
KINDS = {
    "access_token": "access token",
    "refresh_token": "refresh token",
    "code": "authorization code",
    "code_verifier": "PKCE verifier",
    "client_secret": "client secret",
    "client_assertion": "assertion",
    "assertion": "assertion",
    "state": "state",
}
COOKIE_MIN = 16  # shorter ones name a node or a language


@dataclass
class Books:
    """All secrets that are known of."""

    secrets: set[Secret] = field(default_factory=set)

    def note(self, kind: str, content: str | bytes) -> None:
        """Note a secret."""
        raw = content.encode() if isinstance(content, str) else content
        if len(raw) >= LENGTH_MIN:
            self.secrets.add(Secret(kind, raw))

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        counts: dict[str, int] = {}
        for secret in self.secrets:
            counts[secret.kind] = counts.get(secret.kind, 0) + 1
        return counts


@dataclass(frozen=True)
class Seen:
    """One call as it came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def parameters(self) -> dict[str, str]:
        """Return what stands in the query and in the body."""
        found = dict(parse_qsl(self.query))
        if self.headers.get("content-type", "").startswith("application/json"):
            with suppress(ValueError):
                parsed = orjson.loads(self.body)
                found |= {k: v for k, v in parsed.items() if isinstance(v, str)}
        else:
            found |= dict(parse_qsl(self.body.decode("utf-8", "replace")))
        return found

    def credentials(self) -> list[str]:
        """Return everything that this call shows to be let in, the shortest first."""
        return sorted({*self._credentials()}, key=len)

    def _credentials(self) -> Iterator[str]:
        scheme, _, shown = self.headers.get("authorization", "").partition(" ")
        yield from (each for each in (shown,) if each)
        if scheme.lower() == "basic":
            yield unquote_plus(base64.b64decode(shown).decode().partition(":")[2])
        for name in ("x-stamp-key", "x-csrf-token"):
            if len(self.headers.get(name, "")) >= LENGTH_MIN:
                yield self.headers[name]
        for pair in self.headers.get("cookie", "").split(";"):
            if len(pair.partition("=")[2]) >= COOKIE_MIN:
                yield pair.partition("=")[2].strip()
        for name, value in self.parameters().items():
            if name in KINDS or name in ("token", "Password"):
                yield value
        last = self.path.rpartition("/")[2]
        if self.method == "DELETE" and len(last) >= COOKIE_MIN:
            yield last


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Spoil = Callable[[Seen, Answer], Answer]


@dataclass
class Spoiling:
    """Spoils the next `times` answers to calls whose path holds `path`, done or not (`is_done`)."""

    path: str
    spoil: Spoil
    times: int = 1
    is_done: bool = False


class Witness:
    """An ASGI application before a provider's."""

    def __init__(self, app: ASGIApp, books: Books) -> None:
        self._app = app
        self._books = books
        self.calls = 0
        self.spoilings: list[Spoiling] = []
        self.spoiled = 0

    def spoil(self, path: str, spoil: Spoil, *, times: int = 1, is_done: bool = False) -> None:
        """Spoil answers from now on."""
        self.spoilings.append(Spoiling(path, spoil, times, is_done))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        self.calls += 1
        body = await _body(receive)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        seen = Seen(scope["method"], scope["path"], query, headers, body)
        self._note_call(seen)
        due = next((each for each in self.spoilings if each.path in seen.path), None)
        answer: list[Message] = []
        if due is None or due.is_done:
            await self._app(scope, _again(body), _kept(answer))
            self._note_answer(answer)
        if due is None:
            for message in answer:
                await send(message)
            return
        due.times -= 1
        self.spoiled += 1
        if not due.times:
            self.spoilings.remove(due)
        given = (
            Answer(answer[0]["status"], answer[1].get("body", b"")) if answer else Answer(0, b"")
        )
        await _send(due.spoil(seen, given), send)

    def _note_call(self, seen: Seen) -> None:
        for name, value in seen.parameters().items():
            if name in KINDS:
                self._books.note(KINDS[name], value)
        for pair in seen.headers.get("cookie", "").split(";"):
            self._note_cookie(pair)

    def _note_answer(self, answer: list[Message]) -> None:
        headers = [(k.decode().lower(), v.decode()) for k, v in answer[0]["headers"]]
        for name, value in headers:
            if name == "set-cookie":
                self._note_cookie(value.partition(";")[0])
            elif name == "location":
                for key, held in parse_qsl(urlsplit(value).query):
                    if key in KINDS:
                        self._books.note(KINDS[key], held)
            elif name == "x-csrf-token":
                self._books.note("CSRF token", value)
        body = b"".join(message.get("body", b"") for message in answer[1:])
        if b"_token" in body[:20_000]:
            with suppress(ValueError, AttributeError):
                told = orjson.loads(body)
                for name in ("access_token", "refresh_token"):
                    if isinstance(told.get(name), str):
                        self._books.note(KINDS[name], told[name])

    def _note_cookie(self, pair: str) -> None:
        value = pair.partition("=")[2].strip()
        if len(value) >= COOKIE_MIN:
            self._books.note("session cookie", value)


# -- ways to spoil an answer ----------------------------------------------------------------------


def echoing(status: int, shape: Any, *, content_type: str = "application/json") -> Spoil:
    """Answer `shape` with everything that the call showed in the place of "$ECHO"."""

    def spoil(seen: Seen, _answer: Answer) -> Answer:
        shown = " ".join(["rejected:", *seen.credentials()])
        body = (
            shape.replace("$ECHO", shown).encode()
            if isinstance(shape, str)
            else orjson.dumps(_filled(shape, shown))
        )
        return Answer(status, body, {"content-type": content_type})

    return spoil


def leading(status: int, location: str) -> Spoil:
    """Lead elsewhere, with all that was shown in the address."""

    def spoil(seen: Seen, _answer: Answer) -> Answer:
        return Answer(status, b"", {"location": location + "&code=".join(seen.credentials())})

    return spoil


def garbled(_seen: Seen, answer: Answer) -> Answer:
    """Give the true answer in a form that nobody can read."""
    return Answer(answer.status, b"while(1);" + answer.body, {"content-type": "text/javascript"})


def lost(_seen: Seen, answer: Answer) -> Answer:
    """Break off in the middle of the true answer."""
    return Answer(answer.status, answer.body[:-9], {"content-length": str(len(answer.body) + 99)})


def _filled(shape: Any, shown: str) -> Any:
    if isinstance(shape, dict):
        return {name: _filled(value, shown) for name, value in shape.items()}
    if isinstance(shape, list):
        return [_filled(each, shown) for each in shape]
    return shape.replace("$ECHO", shown) if isinstance(shape, str) else shape


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _again(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _kept(messages: list[Message]) -> Send:
    async def send(message: Message) -> None:
        messages.append(message)

    return send


async def _send(answer: Answer, send: Send) -> None:
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})
