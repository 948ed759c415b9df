"""The endpoints of the admin API: what each is called, needs, takes and answers.

Takes requests of verified callers; `web.application` receives routes, and `web.admin.openapi` the
same list as a description. The tenant of a path must be the credential's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from firnline.access.api_keys import Scope
from firnline.errors import FirnlineError
from firnline.web.admin.caller import Caller
from firnline.web.admin.forms import (
    Connection,
    ConnectionList,
    ConnectLinkMade,
    ConnectLinkOrder,
    EventPage,
    Reason,
    Tested,
)
from firnline.web.admin.work import AdminWork
from firnline.web.authentication import Authentication, Standing, bearer_of
from firnline.web.body import read_body
from firnline.web.head import RequestHead
from firnline.web.refusals import JSON_MEDIA, MalformedRequestError, json_refusal

ROOT = "/admin/v1"
BODY_BYTES_MAX = 16 * 1024
TENANT = f"{ROOT}/tenants/{{tenant}}"
CONNECTION = f"{TENANT}/connections/{{name}}"
_PARAMETER_LENGTH_MAX = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a caller that may make it: its parameters, and its body where it has one."""

    caller: Caller
    standing: Standing
    request: Request
    parameters: Mapping[str, str]
    body: Any

    @property
    def tenant(self) -> str:
        """Return the tenant of the path."""
        tenant: str = self.request.path_params["tenant"]
        return tenant

    @property
    def name(self) -> str:
        """Return the connection of the path."""
        name: str = self.request.path_params["name"]
        return name


Work = Callable[[AdminWork, Asked], Awaitable[BaseModel | ASGIApp]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method at one path. `parameters` are those of the query, all optional."""

    method: str
    path: str
    summary: str
    scope: Scope
    work: Work
    answer: type[BaseModel]
    parameters: Mapping[str, str]
    body: type[BaseModel] | None = None
    status: int = 200


_PERSON = {"person": "E-mail of whose own connection is meant; without it the organisation's."}
_EVENTS = {
    "after": "The number of the last event that is known; 0: from the oldest that is kept.",
    "tenant": "Only the events of this tenant.",
    "limit": "How many events one page has at most: 1 to 1000.",
}


def _action(name: str, summary: str, work: Work, body: type[BaseModel] | None = None) -> Endpoint:
    path = f"{CONNECTION}/{name}"
    answer = Tested if name == "test" else Connection
    return Endpoint("POST", path, summary, "connections:write", work, answer, _PERSON, body)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path=f"{TENANT}/connections",
        summary="List a tenant's connections",
        scope="connections:read",
        work=AdminWork.connections,
        answer=ConnectionList,
        parameters={},
    ),
    Endpoint(
        method="GET",
        path=CONNECTION,
        summary="Show how a connection stands",
        scope="connections:read",
        work=AdminWork.connection,
        answer=Connection,
        parameters=_PERSON,
    ),
    _action("test", "Ask the provider who the connection is", AdminWork.test),
    _action("refresh", "Renew the connection's token now", AdminWork.refresh),
    _action("revoke", "End the connection, here and at the provider", AdminWork.revoke, Reason),
    _action("disable", "Switch the connection off, keeping its token", AdminWork.disable, Reason),
    _action("enable", "Switch the connection on again", AdminWork.enable),
    Endpoint(
        method="POST",
        path=f"{TENANT}/connect-links",
        summary="Make a link to the connect page",
        scope="connect-links:write",
        work=AdminWork.connect_link,
        answer=ConnectLinkMade,
        parameters={},
        body=ConnectLinkOrder,
        status=201,
    ),
    Endpoint(
        method="GET",
        path=f"{ROOT}/connection-events",
        summary="Read what happened to connections: a page, or a stream of server-sent events",
        scope="connections:read",
        work=AdminWork.events,
        answer=EventPage,
        parameters=_EVENTS,
    ),
)


def admin_routes(work: AdminWork, authentication: Authentication) -> list[BaseRoute]:
    """Return the routes of the API."""
    return [
        Route(each.path, _Edge(each, work, authentication).answer, methods=[each.method])
        for each in ENDPOINTS
    ]


class _Edge:
    """One endpoint as Starlette calls it."""

    def __init__(self, endpoint: Endpoint, work: AdminWork, authentication: Authentication) -> None:
        self._endpoint = endpoint
        self._work = work
        self._authentication = authentication

    async def answer(self, request: Request) -> Response:
        """Answer, or refuse in JSON whatever the client accepts."""
        try:
            found = await self._endpoint.work(self._work, await self._asked(request))
        except FirnlineError as error:
            return json_refusal(error)
        if not isinstance(found, BaseModel):
            return _Streamed(found)
        return Response(
            found.model_dump_json(), status_code=self._endpoint.status, media_type=JSON_MEDIA
        )

    async def _asked(self, request: Request) -> Asked:
        head = RequestHead.of(request.scope)
        token = bearer_of(head)
        caller = await self._authentication.caller(token)
        caller.require(self._endpoint.scope)
        if "tenant" in request.path_params:
            caller.require_tenant(request.path_params["tenant"])
        return Asked(
            caller,
            await self._authentication.standing(token),
            request,
            _parameters(request, self._endpoint.parameters),
            await self._body(head, request),
        )

    async def _body(self, head: RequestHead, request: Request) -> BaseModel | None:
        form = self._endpoint.body
        has_body = (
            head.fields.get(b"content-length", b"0") != b"0"
            or "transfer-encoding" in request.headers
        )
        if not has_body:
            return None if form is None else _checked(form, b"{}")
        content = await read_body(head, request.receive, media=JSON_MEDIA, bytes_max=BODY_BYTES_MAX)
        if form is None:
            raise MalformedRequestError(
                "this address takes no body", hint="Send the request without one."
            )
        return _checked(form, content)


class _Streamed(Response):
    """A stream in the place of a response."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def _parameters(request: Request, known: Mapping[str, str]) -> dict[str, str]:
    """Return the query's parameters; one that is not known may have been meant to narrow."""
    pairs = request.query_params.multi_items()
    names = [name for name, _ in pairs]
    if len(names) > len(set(names)) or set(names) - set(known):
        raise MalformedRequestError(
            "the query has a parameter twice, or one that this address does not take",
            hint=f"Parameters: {', '.join(known) or 'none'}.",
        )
    if any(len(value) > _PARAMETER_LENGTH_MAX for _, value in pairs):
        raise MalformedRequestError("a parameter of the query is too long", hint="Shorten it.")
    return dict(pairs)


def _checked(form: type[BaseModel], content: bytes) -> BaseModel:
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(each) for each in first["loc"])[:100]
        raise MalformedRequestError(
            f"the body cannot be used: {place or 'it'}: {first['msg']}",
            hint=f"Members: {', '.join(form.model_fields)}.",
        ) from None
