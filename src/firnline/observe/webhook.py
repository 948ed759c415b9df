"""Sends alerts to the builder's webhook, signed as Standard Webhooks are.

Takes an https address and a secret from the settings. It goes out through the one client: address
guard, deadline and body cap hold, and nothing but the alert is sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import orjson
from pydantic import SecretBytes, SecretStr

from firnline.clock import Clock
from firnline.errors import UsageError
from firnline.observe.alerts import Alert
from firnline.settings import Settings
from firnline.transport import Destination, OutboundCall, ProviderAnswerError, Transport

DEADLINE_S = 10.0
SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with
SECRET_BYTES_MIN = 24
_MAKE_ONE = (
    'Make one: python3 -c "import base64, os; '
    "print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""
)


class AlertSettingsError(UsageError):
    """The address or the secret of the webhook for alerts cannot be used."""

    code = "alert_settings"


class AlertWebhook:
    """One address that takes alerts by POST."""

    def __init__(self, url: str, secret: SecretStr, *, transport: Transport, clock: Clock) -> None:
        host = urlsplit(url).netloc.lower()
        self._url = url
        self._key = _key(secret)
        self._transport = transport
        self._clock = clock
        self._destination = Destination(
            provider="alerts",
            tenant="*",
            connection="webhook",
            hosts=(host,),
            account=f"alerts {host}",
            concurrency_max=2,
        )

    async def send(self, alert: Alert) -> None:
        """Deliver one alert; raises a ProviderError when it is not taken."""
        content = orjson.dumps(alert.as_dict())
        key = self._key.get_secret_value()
        sent_at = str(int(self._clock.now().timestamp()))
        call = OutboundCall(
            self._destination,
            "POST",
            self._url,
            headers={
                "content-type": "application/json",
                "webhook-id": alert.id,
                "webhook-timestamp": sent_at,
                "webhook-signature": signature(key, alert.id, sent_at, content),
            },
            content=content,
            repeatable=True,  # receivers know a repetition by its id
        )
        response = await self._transport.send(call, deadline_s=DEADLINE_S)
        if not 200 <= response.status < 300:
            what = f"the webhook for alerts answered {response.status}"
            raise ProviderAnswerError(self._destination, what)


def signature(key: bytes, identity: str, sent_at: str, content: bytes) -> str:
    """Return the `webhook-signature` of a message, as the specification has it."""
    signed = b".".join((identity.encode(), sent_at.encode(), content))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def alert_webhook(
    settings: Settings, *, transport: Transport, clock: Clock
) -> Callable[[Alert], Awaitable[None]] | None:
    """Return what delivers alerts as the settings say, None where they name no address.

    Raises AlertSettingsError.
    """
    if not settings.alerts_url:
        return None
    parts = urlsplit(settings.alerts_url)
    if parts.scheme != "https" or not parts.hostname:
        raise AlertSettingsError(
            "FIRNLINE_ALERTS_URL is not an https address", hint="Alerts name your customers."
        )
    if settings.alerts_secret is None:
        raise AlertSettingsError(
            "FIRNLINE_ALERTS_URL is set without FIRNLINE_ALERTS_SECRET", hint=_MAKE_ONE
        )
    url, secret = settings.alerts_url, settings.alerts_secret
    return AlertWebhook(url, secret, transport=transport, clock=clock).send


def _key(secret: SecretStr) -> SecretBytes:
    text = secret.get_secret_value().strip()
    try:
        if not text.startswith(SECRET_PREFIX):
            raise ValueError
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < SECRET_BYTES_MIN:
        raise AlertSettingsError(
            "FIRNLINE_ALERTS_SECRET is not a secret of Standard Webhooks",
            hint=_MAKE_ONE,
        )
    return SecretBytes(key)
