"""`/graphql`: from HTTP to the gateway and back, per the GraphQL-over-HTTP draft.

The order is: who accepts what, who asks (the tenant comes from the token alone), what is asked,
whose turn it is, then execution; all of it under one deadline, and only while the client waits.
"""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from starlette.types import ASGIApp, Receive, Scope, Send

from firnline.access.principal import Principal
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.deadline import Deadline, in_time
from firnline.web.authentication import Authentication, bearer_of
from firnline.web.body import graph_request, read_content
from firnline.web.departure import while_connected
from firnline.web.events import EventsReply
from firnline.web.gateway import Gateway, GraphAnswer, GraphRequest
from firnline.web.head import RequestHead
from firnline.web.limiter import QueryLimiter
from firnline.web.negotiation import choose_media, takes_events
from firnline.web.open_streams import OpenStreams
from firnline.web.parts import PartsReply, accepted_form
from firnline.web.refusals import (
    GRAPHQL_MEDIA,
    JSON_MEDIA,
    MethodNotAllowedError,
    NotAcceptableError,
    graphql_errors,
    json_refusal,
)
from firnline.web.replies import KnownReplies, KnownReply, slot_of
from firnline.web.subscribing import Subscribing

# The client may keep the answer, but asks before each use: rights and data change at any time.
REVALIDATED = b"private, max-age=0, must-revalidate"
_REFUSED_DOCUMENT = frozenset({400, 422})
_METHODS = ("GET", "HEAD", "POST")
_VARY = (b"vary", b"Accept, Authorization")
_CONTENT_TYPES = {
    media: (b"content-type", f"{media}; charset=utf-8".encode())
    for media in (GRAPHQL_MEDIA, JSON_MEDIA)
}


class GraphEdge:
    """The GraphQL endpoint over one gateway: an ASGI application without a framework in between.

    What routing, request and response objects cost is more than a kept answer does.
    """

    def __init__(
        self,
        gateway: Gateway,
        authentication: Authentication,
        *,
        limiter: QueryLimiter,
        streams: OpenStreams,
        clock: Clock,
        deadline_s: float,
    ) -> None:
        self._gateway = gateway
        self._authentication = authentication
        self._limiter = limiter
        self._deadline_s = deadline_s
        self._replies = KnownReplies()
        self._subscribing = Subscribing(
            gateway,
            self._execute,
            places=streams,
            clock=clock,
            deadline_s=deadline_s,
            # Half of the turns are left to whoever asks meanwhile.
            together_max=max(1, limiter.running_max // 2),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        reply = await self._reply(RequestHead.of(scope), receive)
        await reply(scope, receive, send)

    async def _reply(self, head: RequestHead, receive: Receive) -> ASGIApp:
        """Return the answer, or the refusal in the media type that the client accepts."""
        media = JSON_MEDIA
        try:
            if head.method not in _METHODS:
                raise MethodNotAllowedError(", ".join(_METHODS))
            accept = head.text(b"accept")
            if takes_events(accept):
                return await self._reply_in_events(head, receive, accept)
            media = choose_media(accept)
            form = accepted_form(accept)
            if form is not None:
                return await self._reply_in_parts(head, receive, form, media)
            return await self._reply_in_time(head, receive, media)
        except FirnlineError as error:
            return json_refusal(error, media=media)

    async def _reply_in_time(self, head: RequestHead, receive: Receive, media: str) -> ASGIApp:
        deadline = Deadline(self._deadline_s)
        principal = await self._authentication.principal(bearer_of(head))
        content = await in_time(read_content(head, receive), deadline)
        slot = slot_of(principal, head.method, media, content)
        found = self._replies.find(slot)
        if found is not None:
            known, body = found
            return _revalidated(head, _Reply(200, known.headers, body), known.tag)
        asked = graph_request(head, content)
        answer = await while_connected(self._execute(principal, asked), receive, deadline)
        reply = _respond(answer, media)
        # Only an address with an id is worth keeping; one with a text may hold what people typed.
        is_kept = asked.queries_only and asked.document_id and answer.status == 200
        tag = _tag_of(answer, media) if is_kept and not answer.has_errors else ""
        if answer.again is not None:
            self._replies.remember(slot, KnownReply(answer.again, reply.headers, tag))
        return _revalidated(head, reply, tag)

    async def _reply_in_parts(
        self, head: RequestHead, receive: Receive, form: str, media: str
    ) -> ASGIApp:
        deadline = Deadline(self._deadline_s)
        principal = await self._authentication.principal(bearer_of(head))
        asked = graph_request(head, await in_time(read_content(head, receive), deadline))
        return await self._in_parts(principal, asked, receive, form, media, deadline)

    async def _in_parts(
        self,
        principal: Principal,
        asked: GraphRequest,
        receive: Receive,
        form: str,
        media: str,
        deadline: Deadline,
    ) -> ASGIApp:
        async with AsyncExitStack() as turn:  # held until the last part is out
            coming = self._limiter.turn(principal.tenant, principal.email)
            await while_connected(turn.enter_async_context(coming), receive, deadline)
            work = self._answered(principal, replace(asked, takes_parts=True))
            answer = await while_connected(work, receive, deadline)
            if answer.later is None:
                return _respond(answer, media)
            return PartsReply(answer, answer.later, form, deadline, turn.pop_all().aclose)

    async def _reply_in_events(self, head: RequestHead, receive: Receive, accept: str) -> ASGIApp:
        """Answer a client that takes a stream: a subscription so, all else as it likes better."""
        deadline = Deadline(self._deadline_s)
        token = bearer_of(head)
        principal = await self._authentication.principal(token)
        asked = graph_request(head, await in_time(read_content(head, receive), deadline))
        if await self._gateway.is_subscription(principal, asked):
            if head.method == "HEAD":
                raise MethodNotAllowedError("GET, POST")
            standing = await self._authentication.standing(token)
            return await self._subscribing.reply(principal, asked, receive, standing)
        try:
            media = choose_media(accept)
        except NotAcceptableError:
            answer = await while_connected(self._execute(principal, asked), receive, deadline)
            return EventsReply(answer.body)
        form = accepted_form(accept)
        if form is not None:
            return await self._in_parts(principal, asked, receive, form, media, deadline)
        answer = await while_connected(self._execute(principal, asked), receive, deadline)
        return _respond(answer, media)

    async def _execute(self, principal: Principal, asked: GraphRequest) -> GraphAnswer:
        async with self._limiter.turn(principal.tenant, principal.email):
            return await self._answered(principal, asked)

    async def _answered(self, principal: Principal, asked: GraphRequest) -> GraphAnswer:
        try:
            return await self._gateway.execute(principal, asked)
        except FirnlineError as error:
            if error.status not in _REFUSED_DOCUMENT:
                raise
            # The request was well-formed, its document was not: that is a GraphQL response.
            return GraphAnswer(graphql_errors(error), error.status, has_errors=True)


@dataclass(frozen=True, slots=True)
class _Reply:
    """A whole response in ASGI's own terms."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status, "headers": [*self.headers]}
        )
        await send({"type": "http.response.body", "body": self.body})


def _respond(answer: GraphAnswer, media: str) -> _Reply:
    # Older clients take a 4xx for a failed transport: the draft gives them 200 for any
    # well-formed GraphQL response.
    is_refused = answer.status in _REFUSED_DOCUMENT
    status = 200 if media == JSON_MEDIA and is_refused else answer.status
    length = (b"content-length", b"%d" % len(answer.body))
    return _Reply(status, (_CONTENT_TYPES[media], length, _VARY), answer.body)


def _tag_of(answer: GraphAnswer, media: str) -> str:
    """Return what is equal for equal answers in the same form."""
    digest = hashlib.sha256(media.encode() + b"\n")
    digest.update(answer.tagged or answer.body)
    return f'"{digest.hexdigest()[:32]}"'


def _revalidated(head: RequestHead, reply: _Reply, tag: str) -> _Reply:
    """Return the answer with its tag, or only the news that the client has it already."""
    if not tag:
        return reply
    facts = ((b"etag", tag.encode()), (b"cache-control", REVALIDATED))
    known = head.text(b"if-none-match").split(",")
    if {text.strip().removeprefix("W/") for text in known} & {tag, "*"}:
        return _Reply(304, (*facts, _VARY))
    return _Reply(reply.status, reply.headers + facts, reply.body)
