"""NetSuite's error envelope. Handlers raise `ApiRefusal`; the application answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

ERROR_TYPE = "application/vnd.oracle.resource+json; type=error"
_SPECIFICATION = "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html"
_SECTIONS = {400: "#sec10.4.1", 403: "#sec10.4.4", 404: "#sec10.4.5", 429: "#sec10.4"}
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Bad Request",
}
_LOGIN = (
    "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at"
    " Setup > Users/Roles > User Management > View Login Audit Trail."
)


class ApiRefusal(Exception):
    """A call is refused; `where` says which parameter, header or path is to blame."""

    def __init__(self, status: int, code: str, detail: str, **where: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.where = {f"o:{key}": value for key, value in where.items()}
        self.headers: Mapping[str, str] = {}

    def response(self) -> Response:
        """Return the answer in the vendor's envelope."""
        body: dict[str, Any] = {
            "type": f"{_SPECIFICATION}{_SECTIONS.get(self.status, '')}",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "o:errorDetails": [{"detail": self.detail, **self.where, "o:errorCode": self.code}],
        }
        if self.status == 429:
            body["o:errorCode"] = "USER_ERROR"
        return Response(orjson.dumps(body), self.status, dict(self.headers), media_type=ERROR_TYPE)


def not_signed_in(account: str) -> ApiRefusal:
    """Return the one answer to every bad token: expired, revoked and unknown look the same."""
    refusal = ApiRefusal(401, "INVALID_LOGIN", _LOGIN)
    refusal.headers = {
        "WWW-Authenticate": f'Bearer realm="{account}", error="invalid_token", '
        'error_description="Invalid login attempt."'
    }
    return refusal


def too_many() -> ApiRefusal:
    """Return the answer to one request too many at the same time."""
    detail = "Concurrent request limit exceeded. Request blocked."
    return ApiRefusal(429, "CONCURRENCY_LIMIT_EXCEEDED", detail)


def not_permitted(form: str) -> ApiRefusal:
    """Return a permission error in one of its two forms: "forbidden" or "user_error"."""
    if form == "user_error":
        detail = "Your current role does not have permission to perform this action."
        return ApiRefusal(400, "USER_ERROR", detail)
    return ApiRefusal(
        403,
        "INSUFFICIENT_PERMISSION",
        "Permission Violation: You need a higher permission for this role to access this record.",
    )
