"""What every part of the Zendesk sandbox says the same way: errors, stamps, links, JSON.

Handlers raise `ApiError`; the application turns it into the vendor's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

FORBIDDEN = {
    "error": {
        "title": "Forbidden",
        "message": (
            "You do not have access to this page. Please contact the account owner of this help "
            "desk for further help."
        ),
    }
}
NOT_FOUND = {"error": "RecordNotFound", "description": "Not found"}
BAD_ENDPOINT = {"error": "InvalidEndpoint", "description": "Not found"}
INVALID_TOKEN = {
    "error": "invalid_token",
    "error_description": (
        "The access token provided is expired, revoked, malformed or invalid for other reasons."
    ),
}


class ApiError(Exception):
    """The vendor's refusal of one request."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def refusal(status: int, error: str, description: str) -> ApiError:
    """Return the common error form: a name and a sentence."""
    return ApiError(status, {"error": error, "description": description})


def forbidden() -> ApiError:
    """Return the 403 whose `error` is an object."""
    return ApiError(403, FORBIDDEN)


def json_answer(
    body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return `body` as JSON the way the vendor labels it."""
    return Response(
        orjson.dumps(body),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json; charset=utf-8",
    )


def answer_error(error: ApiError) -> Response:
    """Return the HTTP answer of a refusal; a text body stays plain text."""
    if isinstance(error.body, str):
        return Response(
            error.body, status_code=error.status, headers=error.headers, media_type="text/plain"
        )
    return json_answer(error.body, status=error.status, headers=error.headers)


def iso(epoch: float) -> str:
    """Return epoch seconds as the vendor writes times."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(moment: datetime) -> str:
    """Return an aware datetime as the vendor writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def link(request: Request, params: Mapping[str, str]) -> str:
    """Return an absolute link to the same path with other parameters.

    Built from the Host that the caller used, so that clients on loopback can follow it.
    """
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    host = request.headers.get("host", "localhost")
    path: str = request.scope["vendor_path"]
    return f"{scheme}://{host}{path}?{urlencode(params)}"


def whole(text: str | None, name: str, default: int) -> int:
    """Return a parameter as a whole number; raises the vendor's 400 when it is not one."""
    if text is None or text == "":
        return default
    try:
        return int(text)
    except ValueError as error:
        raise refusal(400, "InvalidValue", f"{name} is not a number") from error
