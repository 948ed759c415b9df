"""The CSRF check of an OData Gateway, as S/4HANA makes it before every write.

Takes calls of users who have shown who they are; what may go on reaches the sandbox behind. A token
belongs to the session whose cookie came with it and is told to those who ask for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from firnline.sandbox.sessions import ServerSession, ServerSessions, cookies_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Serve = Callable[[Request], Awaitable[Response]]


class CsrfGate:
    """Stands before a Gateway's services. `cookie` names the session, such as SAP_SESSIONID_..."""

    def __init__(
        self,
        sessions: ServerSessions,
        *,
        cookie: str,
        header: str = "x-csrf-token",
        answers_head: bool = True,
    ) -> None:
        self.answers_head = answers_head
        self.fetches: list[str] = []
        self._sessions = sessions
        self._cookie = cookie
        self._header = header
        self._tokens: dict[str, str] = {}  # session key -> token

    async def serve(self, request: Request, user: str, service: Serve) -> Response:
        """Return the service's answer, or the refusal of a write without its token."""
        session = self._session(request, user)
        asked = request.headers.get(self._header, "")
        if request.method in SAFE_METHODS:
            return await self._read(request, user, service, session, asked.lower() == "fetch")
        token = self._tokens.get(session.key) if session is not None else None
        if token is None or not secrets.compare_digest(token.encode(), asked.encode()):
            return PlainTextResponse(
                "CSRF token validation failed", 403, {self._header: "Required"}
            )
        return await service(request)

    def forget(self) -> None:
        """Take no token any more that was told so far; the sessions go on."""
        self._tokens.clear()

    async def _read(
        self,
        request: Request,
        user: str,
        service: Serve,
        session: ServerSession | None,
        is_fetch: bool,
    ) -> Response:
        if not is_fetch:
            return await service(request)
        self.fetches.append(request.method)
        if request.method == "HEAD" and not self.answers_head:
            return Response(status_code=405, headers={"allow": "GET, POST"})
        answer = await service(request)
        session = session or self._sessions.open(user)
        if answer.status_code < 400 and session is not None:
            token = self._tokens.setdefault(session.key, secrets.token_urlsafe(16) + "==")
            answer.headers[self._header] = token
            answer.headers.append("set-cookie", "sap-usercontext=sap-client=100; path=/")
            answer.headers.append(
                "set-cookie", f"{self._cookie}={session.key}; path=/; secure; HttpOnly"
            )
        return answer

    def _session(self, request: Request, user: str) -> ServerSession | None:
        session = self._sessions.used(cookies_of(request.headers).get(self._cookie, ""))
        return session if session is not None and session.user == user else None
