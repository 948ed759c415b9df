"""The loopback page that a provider's sign-in comes back to, for `firnline connect`.

Takes the state that must come back and gives the code to the command; every other visit is
answered with a refusal and changes nothing.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from firnline.connections.consent.authorize import AUTHORIZATION_LIFETIME
from firnline.errors import UsageError
from firnline.transport.errors import provider_text
from firnline.web.server import address_of, create_server, open_socket

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class AuthorizationRefusedError(UsageError):
    """The person or the provider said no, or nobody came back in time."""

    code = "authorization_refused"
    exit_code = 1


class Callback:
    """Waits for one sign-in to come back. Made by `listening`."""

    def __init__(self, origin: str) -> None:
        self.redirect_uri = f"{origin}/callback"
        self.issuer = ""  # the `iss` that came with the code
        self._state = ""
        self._arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def code(self, state: str) -> str:
        """Return the code that comes back with `state`; raises AuthorizationRefusedError."""
        self._state = state
        minutes = int(AUTHORIZATION_LIFETIME.total_seconds() // 60)
        try:
            async with asyncio.timeout(AUTHORIZATION_LIFETIME.total_seconds()):
                return await self._arrived
        except TimeoutError:
            raise AuthorizationRefusedError(
                f"nobody signed in within {minutes} minutes", hint="Run the command again."
            ) from None

    async def visit(self, request: Request) -> Response:
        """Answer one visit of a browser."""
        query = request.query_params
        came_back = query.get("state", "").encode()
        if not self._state or not hmac.compare_digest(came_back, self._state.encode()):
            return _page("This is not the sign-in that Firnline is waiting for.", 400)
        if self._arrived.done():
            return _page("This sign-in was already used.", 400)
        code = query.get("code", "")
        if not code:
            said = provider_text(query.get("error_description") or query.get("error") or "no code")
            self._arrived.set_exception(
                AuthorizationRefusedError(
                    f"the provider did not authorise the connection: {said}",
                    hint="Sign in as a user who may authorise applications, and approve.",
                )
            )
            return _page("The connection was not authorised. You can close this page.", 400)
        self.issuer = query.get("iss", "")
        self._arrived.set_result(code)
        return _page("Received. Go back to the terminal; you can close this page.", 200)


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[Callback]:
    """Serve the callback page on loopback; port 0 takes any free one."""
    opened = open_socket("127.0.0.1", port)
    callback = Callback(address_of(opened))
    app = Starlette(routes=[Route("/callback", callback.visit, methods=["GET"])])
    server = create_server(app)
    serving = asyncio.create_task(server.serve(sockets=[opened]))
    try:
        yield callback
    finally:
        server.should_exit = True
        await serving
        opened.close()


def _page(text: str, status: int) -> Response:
    return PlainTextResponse(text + "\n", status, HEADERS)
