"""The control port of a fleet: what tests and demonstrations ask of sandboxes from outside.

Not part of any provider's protocol: it counts records, gives tokens as if someone had signed in,
changes records as if someone had worked with them, and sets faults. Every call carries the fleet's
key.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from firnline.errors import FirnlineError, UsageError
from firnline.sandbox.faults import Fault
from firnline.sandbox.protocol import ChangeableSandbox
from firnline.sandbox.server import Fleet, SandboxServer

_BODY_BYTES_MAX = 1_000_000
_FAULT = TypeAdapter(Fault)


class ControlRequestError(UsageError):
    """A call to the control port is formed wrongly."""

    code = "sandbox_control"


class ControlKeyError(FirnlineError):
    """A call to the control port came without the fleet's key."""

    code = "sandbox_control_key"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "the control port needs the fleet's key",
            hint="Send it as `Authorization: Bearer KEY`; the state file holds it.",
        )


class UnknownRecordError(FirnlineError):
    """The sandbox has no such person, object or record."""

    code = "sandbox_record"
    status = 404


class Control:
    """Answers calls to the control port."""

    def __init__(self, fleet: Fleet, key: str) -> None:
        self._fleet = fleet
        self._key = key

    def app(self) -> Starlette:
        """Return the app to serve."""
        posts = {
            "/token": self._token,
            "/revoke": self._revoke,
            "/change": self._change,
            "/delete": self._delete,
            "/add": self._add,
            "/fault": self._fault,
            "/clear": self._clear,
        }
        routes = [Route("/counts", self._counts, methods=["GET"])]
        routes += [Route(path, endpoint, methods=["POST"]) for path, endpoint in posts.items()]
        return Starlette(routes=routes, exception_handlers={FirnlineError: _refusal})

    def _admit(self, request: Request) -> None:
        sent = request.headers.get("authorization", "")
        if not hmac.compare_digest(sent.encode(), f"Bearer {self._key}".encode()):
            raise ControlKeyError

    async def _asked(self, request: Request) -> tuple[SandboxServer, dict[str, Any]]:
        """Return the server that a POST is about, and the rest of its body."""
        self._admit(request)
        content = await request.body()
        try:
            asked = orjson.loads(content[:_BODY_BYTES_MAX])
        except orjson.JSONDecodeError as error:
            raise ControlRequestError("the body is not JSON") from error
        if not isinstance(asked, dict):
            raise ControlRequestError("the body is not a JSON object")
        server = self._fleet.server(_text(asked, "provider"), _text(asked, "tenant"))
        return server, {key: asked[key] for key in asked if key not in ("provider", "tenant")}

    async def _counts(self, request: Request) -> Response:
        self._admit(request)
        counts: dict[str, dict[str, Mapping[str, int]]] = {}
        for (provider, tenant), server in self._fleet.servers.items():
            counts.setdefault(tenant, {})[provider] = dict(server.sandbox.counts())
        return JSONResponse(counts)

    async def _token(self, request: Request) -> Response:
        server, asked = await self._asked(request)
        email = _email(server, asked)
        return JSONResponse({"token": server.sandbox.token_for(email)})

    async def _revoke(self, request: Request) -> Response:
        server, asked = await self._asked(request)
        _changeable(server).revoke(_email(server, asked))
        return JSONResponse({})

    async def _change(self, request: Request) -> Response:
        server, asked = await self._asked(request)
        values = _values(asked)
        try:
            _changeable(server).change(_text(asked, "object"), _text(asked, "key"), **values)
        except LookupError as error:
            raise UnknownRecordError("there is no such object or record") from error
        return JSONResponse({})

    async def _delete(self, request: Request) -> Response:
        server, asked = await self._asked(request)
        try:
            _changeable(server).delete(_text(asked, "object"), _text(asked, "key"))
        except LookupError as error:
            raise UnknownRecordError("there is no such object or record") from error
        return JSONResponse({})

    async def _add(self, request: Request) -> Response:
        server, asked = await self._asked(request)
        try:
            key = _changeable(server).add(_text(asked, "object"), **_values(asked))
        except LookupError as error:
            raise UnknownRecordError("there is no such object") from error
        return JSONResponse({"key": key})

    async def _fault(self, request: Request) -> Response:
        server, asked = await self._asked(request)
        unknown = sorted(set(asked) - {one.name for one in fields(Fault)})
        if unknown:
            raise ControlRequestError(f"a fault has no {unknown[0]!r}")
        try:
            server.disturb(_FAULT.validate_python(asked))
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(str(part) for part in wrong["loc"]) or "fault"
            raise ControlRequestError(f"{place}: {wrong['msg']}") from error
        return JSONResponse({})

    async def _clear(self, request: Request) -> Response:
        server, _ = await self._asked(request)
        server.line.clear()
        return JSONResponse({})


async def _refusal(request: Request, error: Exception) -> Response:
    refused = cast(FirnlineError, error)
    return JSONResponse({"error": refused.as_dict()}, status_code=refused.status)


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise ControlRequestError(f"{name!r} must be a text")
    return value


def _values(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    values = asked.get("fields", {})
    if not isinstance(values, dict):
        raise ControlRequestError("'fields' must be an object")
    return values


def _email(server: SandboxServer, asked: Mapping[str, Any]) -> str:
    email = _text(asked, "email")
    if email not in server.sandbox.emails():
        raise UnknownRecordError(
            f"nobody signs in to {server.provider} of {server.tenant} with that email"
        )
    return email


def _changeable(server: SandboxServer) -> ChangeableSandbox:
    missing = [
        name
        for name in ("change", "delete", "add", "revoke")
        if not callable(getattr(server.sandbox, name, None))
    ]
    if missing:
        raise ControlRequestError(f"the sandbox of {server.provider} cannot {missing[0]}")
    return cast(ChangeableSandbox, server.sandbox)
