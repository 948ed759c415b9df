"""The outermost layer of the web application: security headers, and the net for what nobody caught.

Wraps every request, also those that match no route; whatever lies inside never sees a failure of
another part as a traceback sent to a client.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firnline.web.refusals import HeadTooLargeError, InternalError, Refuser

CONTENT_POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)

_DEFAULTS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: that turns the Origin of our own form posts into "null".
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"private, no-store"),
)

HEAD_BYTES_MAX = 32 * 1024

_log = logging.getLogger("firnline.web")


class Shield:
    """ASGI middleware that adds the headers and answers unexpected failures with an id."""

    def __init__(self, app: ASGIApp, *, refuser: Refuser) -> None:
        self._app = app
        self._refuser = refuser

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_shielded(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                message["headers"] = shielded(message["headers"])
            await send(message)

        try:
            _check_head(scope)
            await self._app(scope, receive, send_shielded)
        except HeadTooLargeError as error:
            await self._refuser.refuse(Request(scope), error)(scope, receive, send_shielded)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception:
            error_id = secrets.token_hex(6)
            _log.exception("unexpected failure %s at %s", error_id, scope["path"])
            if is_started:
                raise  # half an answer is out: the server must break the connection
            response = self._refuser.refuse(Request(scope), InternalError(error_id))
            await response(scope, receive, send_shielded)


def shielded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return `headers` with each default that they do not set themselves."""
    own = list(headers)
    named = {name for name, _ in own}
    return own + [pair for pair in _DEFAULTS if pair[0] not in named]


def _check_head(scope: Scope) -> None:
    # The server bounds a head that arrives in parts; one that arrives at once comes this far.
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if size + len(scope["query_string"]) + len(scope["raw_path"]) > HEAD_BYTES_MAX:
        raise HeadTooLargeError(HEAD_BYTES_MAX)
