"""How the edge says no: errors of the edge, and every error as an HTTP response.

Takes a `FirnlineError` from anywhere below; the client receives its code, sentence and next step
as a GraphQL error list, or as a page when it is a browser that asks for one.
"""

from __future__ import annotations

from typing import Any

import orjson
from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from firnline.errors import FirnlineError
from firnline.web.limiter import RETRY_AFTER_S, TooManyQueriesError
from firnline.web.open_streams import TooManySubscriptionsError

JSON_MEDIA = "application/json"
GRAPHQL_MEDIA = "application/graphql-response+json"
EVENT_MEDIA = "text/event-stream"


class NotFoundError(FirnlineError):
    """No page or endpoint has this path."""

    code = "not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__(
            "there is nothing at this address", hint="GraphQL is answered at /graphql."
        )


class MethodNotAllowedError(FirnlineError):
    """The path exists but not for this HTTP method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__(
            "this address does not take that HTTP method", hint=f"Use one of: {allowed}."
        )
        self.allowed = allowed


class NotAcceptableError(FirnlineError):
    """The client accepts none of the media types that this address can answer with."""

    code = "not_acceptable"
    status = 406

    def __init__(self) -> None:
        super().__init__(
            "none of the accepted media types can be answered",
            hint=f"Send `Accept: {GRAPHQL_MEDIA}, {JSON_MEDIA}`.",
        )


class SubscriptionStreamError(FirnlineError):
    """A subscription was sent by a client that takes one answer only."""

    code = "subscription_stream"
    status = 406

    def __init__(self) -> None:
        super().__init__(
            "a subscription is answered as a stream of events, and this client takes one answer",
            hint=f"Send `Accept: {EVENT_MEDIA}`, or ask the same fields in a query.",
        )


class MediaTypeError(FirnlineError):
    """The request body is not of the media type that this address takes."""

    code = "media_type"
    status = 415

    def __init__(self, expected: str) -> None:
        super().__init__(
            f"the request body must be {expected}, in UTF-8 and without content encoding",
            hint=f"Send `Content-Type: {expected}`.",
        )


class BodyTooLargeError(FirnlineError):
    """The request body is over the limit."""

    code = "body_too_large"
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request body is over the limit of {limit} bytes",
            hint="Publish the operation and send its documentId instead of its text.",
        )


class HeadTooLargeError(FirnlineError):
    """The request's headers or address are over the limit."""

    code = "head_too_large"
    status = 431

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request's headers and address are over the limit of {limit} bytes",
            hint="Send fewer headers, and the operation in the body.",
        )


class MalformedRequestError(FirnlineError):
    """The request body cannot be understood."""

    code = "malformed_request"
    status = 400

    def __init__(self, reason: str, *, hint: str = "") -> None:
        super().__init__(
            reason,
            hint=hint
            or 'Send a JSON object such as {"query": "{ __typename }"}, '
            "with variables and operationName where needed.",
        )


class BatchRefusedError(FirnlineError):
    """The request body holds a list of operations."""

    code = "batch_refused"
    status = 400

    def __init__(self) -> None:
        super().__init__(
            "batches of operations are not accepted",
            hint="Send one operation per request; one connection carries many of them.",
        )


class InternalError(FirnlineError):
    """Something failed that should not; the log has the cause under the id in the message."""

    code = "internal"

    def __init__(self, error_id: str) -> None:
        super().__init__(
            f"something went wrong on our side (error {error_id})",
            hint=f"Tell the operator the id {error_id}: the log has the cause under it.",
        )


class HttpError(FirnlineError):
    """The HTTP request was refused by the framework."""

    code = "http"
    status = 400


def graphql_errors(error: FirnlineError) -> bytes:
    """Return `error` as a GraphQL response without data."""
    facts = error.as_dict()
    message = facts.pop("message")
    return orjson.dumps({"errors": [{"message": message, "extensions": facts}]})


def json_refusal(error: FirnlineError, *, media: str = JSON_MEDIA) -> Response:
    """Return the JSON response that refuses a request with `error`."""
    return Response(
        graphql_errors(error),
        status_code=error.status,
        headers={**refusal_headers(error), "content-type": f"{media}; charset=utf-8"},
    )


def refusal_headers(error: FirnlineError) -> dict[str, str]:
    """Return the headers that HTTP asks for beside some refusals."""
    if isinstance(error, MethodNotAllowedError):
        return {"allow": error.allowed}
    if isinstance(error, BodyTooLargeError):
        return {"connection": "close"}  # the rest of the body is not worth reading
    if isinstance(error, TooManyQueriesError | TooManySubscriptionsError):
        return {"retry-after": str(RETRY_AFTER_S)}
    if error.status == 401:
        return {"www-authenticate": 'Bearer realm="firnline"'}
    return {}


class Refuser:
    """Turns errors into responses, for exception handlers and for the last net."""

    def __init__(self, pages: Environment) -> None:
        self._page = pages.get_template("refusal.html")

    def refuse(self, request: Request, error: FirnlineError) -> Response:
        """Return a page to a browser that asks for one, JSON to anybody else."""
        if not _wants_page(request):
            return json_refusal(error)
        return HTMLResponse(
            self._page.render(error=error), status_code=error.status, headers=refusal_headers(error)
        )

    async def on_error(self, request: Request, error: Exception) -> Response:
        """Answer a `FirnlineError`, or an exception of the framework, raised by a route."""
        return self.refuse(request, as_firnline_error(error))


def as_firnline_error(error: Exception) -> FirnlineError:
    """Translate the framework's exceptions into the one error tree."""
    if isinstance(error, FirnlineError):
        return error
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        return NotFoundError()
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        return MethodNotAllowedError(", ".join(sorted(allowed.split(", "))))
    return HttpError(str(error.detail), hint="Check the request's form.")


def _wants_page(request: Request) -> bool:
    first: Any = request.headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()
    return bool(first == "text/html") and request.scope["path"] != "/graphql"
