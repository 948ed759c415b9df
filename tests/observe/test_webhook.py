"""Alerts reach the builder's address signed as Standard Webhooks, through the guarded client."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.transport.loopback import serve

from firnline.clock import FixedClock, SystemClock
from firnline.errors import FirnlineError
from firnline.observe.alerts import Alert, alert_of
from firnline.observe.webhook import AlertSettingsError, AlertWebhook, alert_webhook, signature
from firnline.settings import Settings
from firnline.state import ConnectionEvent
from firnline.transport import Transport

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ADDRESS = "https://alerts.builder.example/firnline"


def lost() -> Alert:
    event = ConnectionEvent(
        *(7, "acme", "crm", "", "salesforce", "active", "needs_reconnect", "it was revoked", NOW)
    )
    alert = alert_of(event)
    assert alert is not None
    return alert


class Inbox:
    """The builder's server."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.app = Starlette(routes=[Route("/firnline", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        self.taken.append((dict(request.headers), await request.body()))
        return Response(status_code=self.status)


async def deliver(inbox: Inbox) -> None:
    async with serve(inbox.app) as origin:
        routes = {"https://alerts.builder.example": origin}
        async with Transport(routes=routes, clock=SystemClock()) as transport:
            webhook = AlertWebhook(ADDRESS, SECRET, transport=transport, clock=FixedClock(NOW))
            await webhook.send(lost())


def test_signature_is_that_of_the_published_example() -> None:
    signed = signature(
        base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_alert_arrives_with_a_signature_over_exactly_its_bytes() -> None:
    inbox = Inbox()
    await deliver(inbox)

    ((headers, content),) = inbox.taken
    key = base64.b64decode(SECRET.get_secret_value().removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-id"] == "alert_7"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert headers["content-type"] == "application/json"
    told = orjson.loads(content)
    assert (told["type"], told["data"]["tenant"]) == ("connection.needs_reconnect", "acme")


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_refused_alert_is_an_error_without_the_secret(status: int) -> None:
    with pytest.raises(FirnlineError) as refused:
        await deliver(Inbox(status))

    assert str(status) in refused.value.message
    assert SECRET.get_secret_value() not in str(refused.value.as_dict())


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://alerts.builder.example/", SECRET),
        ("alerts.builder.example", SECRET),
        (ADDRESS, None),
        (ADDRESS, SecretStr("whsec_c2hvcnQ=")),
        (ADDRESS, SecretStr("canary-without-a-prefix-that-is-long-enough")),
        (ADDRESS, SecretStr("whsec_canary not base64 at all, not at all")),
    ],
)
async def test_settings_that_cannot_work_are_refused_at_once_without_repeating_the_secret(
    url: str, secret: SecretStr | None, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, alerts_url=url, alerts_secret=secret)
    async with Transport(routes={}, clock=SystemClock()) as transport:
        with pytest.raises(AlertSettingsError) as refused:
            alert_webhook(settings, transport=transport, clock=SystemClock())

    assert refused.value.hint
    assert "canary" not in str(refused.value.as_dict())


async def test_address_inside_the_network_is_never_called(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, alerts_url="https://10.0.0.1/firnline", alerts_secret=SECRET)
    async with Transport(routes={}, clock=SystemClock()) as transport:
        send: Callable[..., object] | None = alert_webhook(
            settings, transport=transport, clock=SystemClock()
        )
        assert send is not None
        with pytest.raises(FirnlineError) as refused:
            await send(lost())  # type: ignore[misc]

    assert refused.value.code == "forbidden_host"
