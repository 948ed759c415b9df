"""`/metrics`: the figures of this process in Prometheus' text format, for its operator alone.

They tell who is served and how much: whoever asks brings the installation's own token, or an API
key of the installation with the scope `metrics:read`. Where there is no such token other callers
find nothing at this address, except in development programs of the same machine.
"""

from __future__ import annotations

import hmac

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from firnline.access.api_keys import INSTALLATION, ScopeMissingError, is_key
from firnline.errors import FirnlineError
from firnline.observe.metrics import MEDIA_TYPE
from firnline.web.api_keys import ApiKeys
from firnline.web.gateway import Gateway
from firnline.web.open_streams import OpenStreams
from firnline.web.refusals import NotFoundError, json_refusal

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_OPEN = b"""\
# HELP firnline_subscriptions_open Subscriptions that are open now.
# TYPE firnline_subscriptions_open gauge
firnline_subscriptions_open %d
"""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class MetricsRefusedError(FirnlineError):
    """The figures were asked for without the installation's token."""

    code = "metrics_refused"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "the figures of this server need a token",
            hint="Send `Authorization: Bearer ...` with the value of FIRNLINE_METRICS_TOKEN.",
        )


class FiguresEdge:
    """The metrics endpoint over one gateway."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        streams: OpenStreams,
        keys: ApiKeys | None = None,
        token: SecretStr | None,
        development: bool,
    ) -> None:
        self._gateway = gateway
        self._streams = streams
        self._keys = keys
        self._token = None if token is None else token.get_secret_value().encode()
        self._development = development

    async def show(self, request: Request) -> Response:
        """Answer with the figures, or refuse."""
        try:
            await self._check(request)
        except FirnlineError as error:
            return json_refusal(error)
        figures = self._gateway.figures() + _OPEN % len(self._streams)
        return Response(figures, headers={"content-type": MEDIA_TYPE})

    async def _check(self, request: Request) -> None:
        values = request.headers.getlist("authorization")
        scheme, _, token = (values[0] if len(values) == 1 else "").partition(" ")
        is_bearer = scheme.lower() == "bearer"
        if self._keys is not None and is_bearer and is_key(token):
            row = await self._keys.verify(token)
            if row.tenant != INSTALLATION or "metrics:read" not in row.scopes:
                raise ScopeMissingError("metrics:read")
            return
        if self._token is None:
            if not (self._development and _is_of_this_machine(request)):
                raise NotFoundError
            return
        is_token = hmac.compare_digest(token.encode("utf-8", "replace"), self._token)
        if not is_bearer or not is_token:
            raise MetricsRefusedError


def _is_of_this_machine(request: Request) -> bool:
    # A proxy of this machine speaks for others, and most say so.
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    return request.client is not None and request.client.host in _LOOPBACK and not is_forwarded
