"""The builder's branding as a style sheet and a logo, both served from our own origin.

Takes the branding of firnline.yaml; the connect pages receive addresses that change with what is
behind them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.flights import Flights
from firnline.spec.branding import Branding, logo_file, picture_kind
from firnline.web.connect.colors import DARK_PAGE, LIGHT_PAGE, Accent, accent_on
from firnline.web.refusals import NotFoundError

STYLE_PATH = "/connect/theme/style.css"
LOGO_PATH = "/connect/theme/logo"
LOGO_KEPT_S = 3600.0
LOGO_RETRIED_S = 60.0
_FOREVER = "public, max-age=31536000, immutable"
_FOR_AN_HOUR = "public, max-age=3600"
# What a picture may do when somebody opens it as a page of its own: nothing.
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

Fetch = Callable[[str], Awaitable[bytes]]

_log = logging.getLogger("firnline.web")


@dataclass(frozen=True, slots=True)
class Look:
    """What the templates show of the builder."""

    name: str
    support_url: str
    style: str
    logo: str  # empty: Firnline's own mark is not shown instead


class Theme:
    """Serves the style sheet and the logo."""

    def __init__(
        self, branding: Branding, *, name: str, directory: Path, fetch: Fetch, clock: Clock
    ) -> None:
        """Take the branding, the name that stands where it has none, and how to fetch a logo."""
        self._style = style_of(branding.color).encode()
        self._logo = _Logo(branding, directory=directory, fetch=fetch, clock=clock)
        self.look = Look(
            name=branding.name or name,
            support_url=branding.support_url,
            style=f"{STYLE_PATH}?v={_version(self._style)}",
            logo=f"{LOGO_PATH}?v={_version(branding.logo.encode())}" if branding.logo else "",
        )

    async def style(self, _request: Request) -> Response:
        """Answer with the colours."""
        headers = {"cache-control": _FOREVER}
        return Response(self._style, headers=headers, media_type="text/css")

    async def logo(self, _request: Request) -> Response:
        """Answer with the logo; raises NotFoundError while there is none to show."""
        content = await self._logo.content()
        kind = picture_kind(content)
        if not kind:
            raise NotFoundError
        headers = {"cache-control": _FOR_AN_HOUR, "content-security-policy": _PICTURE_POLICY}
        return Response(content, headers=headers, media_type=kind)


class _Logo:
    """A picture of the project, or one that is fetched once an hour while pages are shown."""

    def __init__(self, branding: Branding, *, directory: Path, fetch: Fetch, clock: Clock) -> None:
        self._branding = branding
        self._directory = directory
        self._fetch = fetch
        self._clock = clock
        self._content = b""
        self._good_until_s = clock.monotonic()
        self._flights: Flights[str, None] = Flights(goes_on=True)

    async def content(self) -> bytes:
        """Return the picture, nothing where there is none."""
        if self._branding.logo and self._clock.monotonic() >= self._good_until_s:
            await self._flights.join("logo", self._read)
        return self._content

    async def _read(self) -> None:
        kept_s = LOGO_KEPT_S
        try:
            self._content = await self._fetched_or_read()
        except (FirnlineError, OSError) as error:  # pages do without; the last one stays
            _log.warning("the logo cannot be read (%s)", type(error).__name__)
            kept_s = LOGO_RETRIED_S
        self._good_until_s = self._clock.monotonic() + kept_s

    async def _fetched_or_read(self) -> bytes:
        if self._branding.is_logo_elsewhere:
            return await self._fetch(self._branding.logo)
        path = logo_file(self._directory, self._branding.logo)
        return b"" if path is None else path.read_bytes()


def style_of(color: str) -> str:
    """Return the style sheet of an accent; empty: the pages' own colours."""
    if not color:
        return ""
    light, dark = accent_on(color, LIGHT_PAGE), accent_on(color, DARK_PAGE)
    return f"{_rule(light)}\n@media (prefers-color-scheme: dark) {{ {_rule(dark)} }}\n"


def _rule(accent: Accent) -> str:
    return f":root {{ --accent: {accent.color}; --accent-ink: {accent.ink}; }}"


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
