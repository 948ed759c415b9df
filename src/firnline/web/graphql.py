"""`POST /graphql`: from HTTP to the gateway and back, per the GraphQL-over-HTTP draft.

The order is: who accepts what, who asks (the tenant comes from the token alone), what is asked,
then execution; all of it under one deadline.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from firnline.access.principal import Principal, TokenRefusedError, TokenVerifier
from firnline.errors import FirnlineError
from firnline.web.body import read_graph_request
from firnline.web.gateway import Gateway, GraphAnswer
from firnline.web.negotiation import choose_media
from firnline.web.refusals import JSON_MEDIA, DeadlineError, json_refusal


class GraphEdge:
    """The GraphQL endpoint over one gateway."""

    def __init__(self, gateway: Gateway, verifier: TokenVerifier, *, deadline_s: float) -> None:
        self._gateway = gateway
        self._verifier = verifier
        self._deadline_s = deadline_s

    async def answer(self, request: Request) -> Response:
        """Answer one request, or refuse it in the media type that the client accepts."""
        media = JSON_MEDIA
        try:
            media = choose_media(", ".join(request.headers.getlist("accept")))
            answer = await self._execute_in_time(request)
        except FirnlineError as error:
            return json_refusal(error, media=media)
        return _respond(answer, media)

    async def _execute_in_time(self, request: Request) -> GraphAnswer:
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                principal = self._authenticate(request)
                return await self._gateway.execute(principal, await read_graph_request(request))
        except TimeoutError as error:
            if deadline.expired():
                raise DeadlineError(self._deadline_s) from error
            raise

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
    is_refused = answer.status in {400, 422}
    status = 200 if media == JSON_MEDIA and is_refused else answer.status
    return Response(
        answer.body,
        status_code=status,
        headers={"content-type": f"{media}; charset=utf-8", "vary": "Accept, Authorization"},
    )
