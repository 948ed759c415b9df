"""`/graphql`: from HTTP to the gateway and back, per the GraphQL-over-HTTP draft.

The order is: who accepts what, who asks (the tenant comes from the token alone), what is asked,
whose turn it is, then execution; all of it under one deadline, and only while the client waits.
"""

from __future__ import annotations

import asyncio
import hashlib

from starlette.requests import Request
from starlette.responses import Response

from firnline.access.principal import Principal, TokenRefusedError, TokenVerifier
from firnline.errors import FirnlineError
from firnline.web.body import read_graph_request
from firnline.web.departure import while_connected
from firnline.web.gateway import Gateway, GraphAnswer, GraphRequest
from firnline.web.limiter import QueryLimiter
from firnline.web.negotiation import choose_media
from firnline.web.refusals import JSON_MEDIA, DeadlineError, graphql_errors, json_refusal

# The client may keep the answer, but asks before each use: rights and data change at any time.
REVALIDATED = "private, max-age=0, must-revalidate"
_REFUSED_DOCUMENT = frozenset({400, 422})
_VARY = "Accept, Authorization"


class GraphEdge:
    """The GraphQL endpoint over one gateway."""

    def __init__(
        self,
        gateway: Gateway,
        verifier: TokenVerifier,
        *,
        limiter: QueryLimiter,
        deadline_s: float,
    ) -> None:
        self._gateway = gateway
        self._verifier = verifier
        self._limiter = limiter
        self._deadline_s = deadline_s

    async def answer(self, request: Request) -> Response:
        """Answer one request, or refuse it in the media type that the client accepts."""
        media = JSON_MEDIA
        try:
            media = choose_media(", ".join(request.headers.getlist("accept")))
            asked, answer = await self._execute_in_time(request)
        except FirnlineError as error:
            return json_refusal(error, media=media)
        response = _respond(answer, media)
        # Only an address with an id is worth keeping; one with a text may hold what people typed.
        if asked.queries_only and asked.document_id and answer.status == 200:
            return _revalidated(request, response, keep=not answer.has_errors)
        return response

    async def _execute_in_time(self, request: Request) -> tuple[GraphRequest, GraphAnswer]:
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                principal = self._authenticate(request)
                asked = await read_graph_request(request)
                work = self._execute(principal, asked)
                return asked, await while_connected(work, request.receive)
        except TimeoutError as error:
            if deadline.expired():
                raise DeadlineError(self._deadline_s) from error
            raise

    async def _execute(self, principal: Principal, asked: GraphRequest) -> GraphAnswer:
        async with self._limiter.turn(principal.tenant, principal.email):
            try:
                return await self._gateway.execute(principal, asked)
            except FirnlineError as error:
                if error.status not in _REFUSED_DOCUMENT:
                    raise
                # The request was well-formed, its document was not: that is a GraphQL response.
                return GraphAnswer(graphql_errors(error), error.status, has_errors=True)

    def _authenticate(self, request: Request) -> Principal:
        values = request.headers.getlist("authorization")
        if len(values) != 1:
            raise TokenRefusedError("there must be exactly one Authorization header")
        scheme, _, token = values[0].partition(" ")
        if scheme.lower() != "bearer":
            raise TokenRefusedError("the Authorization header is not of the Bearer scheme")
        return self._verifier.verify(token)


def _respond(answer: GraphAnswer, media: str) -> Response:
    # Older clients take a 4xx for a failed transport: the draft gives them 200 for any
    # well-formed GraphQL response.
    is_refused = answer.status in _REFUSED_DOCUMENT
    status = 200 if media == JSON_MEDIA and is_refused else answer.status
    return Response(
        answer.body,
        status_code=status,
        headers={"content-type": f"{media}; charset=utf-8", "vary": _VARY},
    )


def _revalidated(request: Request, response: Response, *, keep: bool) -> Response:
    """Return the answer with its tag, or only the news that the client has it already."""
    if not keep:
        return response
    content = response.headers["content-type"].encode() + b"\n" + bytes(response.body)
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    facts = {"etag": tag, "cache-control": REVALIDATED, "vary": _VARY}
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    if {text.strip().removeprefix("W/") for text in known} & {tag, "*"}:
        return Response(status_code=304, headers=facts)
    response.headers.update(facts)
    return response
