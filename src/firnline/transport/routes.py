"""Routes: vendor origins that are served by a loopback address instead (sandboxes, tests)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from firnline.errors import UsageError
from firnline.transport.address import AddressRefused, origin_of


class RouteInvalidError(UsageError):
    """A route leads somewhere other than a loopback origin."""

    code = "route_invalid"


class Routes:
    """Maps https://acme.zendesk.com to http://127.0.0.1:9001, and leaves other origins alone."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        self._targets = {_origin(vendor): _loopback(target) for vendor, target in routes.items()}

    def target(self, url: str) -> str | None:
        """Return `url` at its loopback origin, None when its origin has no route."""
        origin = self._targets.get(origin_of(url))
        if origin is None:
            return None
        parts = urlsplit(url)
        return origin + parts._replace(scheme="", netloc="").geturl()

    def reachable(self, url: str) -> str:
        """Return where a browser on this machine finds `url`."""
        return self.target(url) or url


def _origin(vendor: str) -> str:
    try:
        return origin_of(vendor)
    except AddressRefused as error:
        raise RouteInvalidError(f"{vendor!r} is not an origin: {error}") from error


def _loopback(target: str) -> str:
    origin = _origin(target)
    parts = urlsplit(origin)
    try:
        is_loopback = ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_loopback = False
    if parts.scheme != "http" or not is_loopback or origin != target.rstrip("/"):
        raise RouteInvalidError(
            f"route target {target!r} is not a loopback origin",
            hint="Write it as http://127.0.0.1:PORT.",
        )
    return origin
