"""Sessions of the connect pages: one cookie for each tenant, and forms that only they can send.

Takes requests; the pages receive the session, or the refusal. The cookie is `Lax`, because a
provider's answer is another site's redirect that has to bring it; what changes something is a
POST, which other sites' pages send without it, and needs a ticket besides.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from firnline.clock import Clock
from firnline.connections.consent.links import ConnectLinks, ConnectSession
from firnline.errors import FirnlineError
from firnline.web.body import read_form
from firnline.web.head import RequestHead

PATH = "/connect"
FORM_BYTES_MAX = 32 * 1024  # keys and passwords of any length that is taken
_FORM = "form"


class ConnectSessionError(FirnlineError):
    """Nobody opened a link in this browser, or its time is over."""

    code = "connect_session"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "this page is opened with a link, and this browser has none, or its time is over",
            hint="Open the link that you were sent, or ask for a new one.",
        )


class ConnectFormError(FirnlineError):
    """A form came from elsewhere than the page that this session was shown."""

    code = "connect_form"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "this form was not sent from the page that this browser was shown",
            hint="Go back to the list, and use its buttons.",
        )


class ConnectClosedError(FirnlineError):
    """A system was switched off by who runs the installation; customers cannot switch it on."""

    code = "connect_closed"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            "this system was switched off and cannot be connected here",
            hint="Ask the people who sent you the link.",
        )


class ConnectCookies:
    """Gives sessions to browsers, and finds them again."""

    def __init__(self, links: ConnectLinks, *, public_url: str, clock: Clock) -> None:
        self._links = links
        self._clock = clock
        self._origin = origin_of(public_url)
        self._is_secure = self._origin.startswith("https://")

    def start(self, response: Response, session: ConnectSession) -> None:
        """Give a browser its session; other tenants' sessions stay as they are."""
        left_s = (session.ends_at - self._clock.now()).total_seconds()
        response.set_cookie(
            self._name(session.tenant),
            self._links.cookie(session),
            max_age=int(left_s),
            path=PATH,
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )

    def find(self, request: Request, tenant: str) -> ConnectSession | None:
        """Return the session that this browser has for a tenant."""
        cookie = request.cookies.get(self._name(tenant), "")
        return self._links.session(cookie, tenant) if cookie else None

    def require(self, request: Request, tenant: str) -> ConnectSession:
        """Return the session that this browser has for a tenant; raises ConnectSessionError."""
        session = self.find(request, tenant)
        if session is None:
            raise ConnectSessionError
        return session

    def form_ticket(self, session: ConnectSession) -> str:
        """Return what every form of this session carries."""
        return self._links.ticket(session, _FORM)

    async def form(self, request: Request, session: ConnectSession) -> dict[str, str]:
        """Return the fields of a form that this session's own page sent.

        Raises ConnectFormError, or what reading the form raises.
        """
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin", self._origin)
        if origin != self._origin or site != "same-origin":
            raise ConnectFormError
        form = await read_form(
            RequestHead.of(request.scope), request.receive, bytes_max=FORM_BYTES_MAX
        )
        if not self._links.is_ticket(form.pop("ticket", ""), session, _FORM):
            raise ConnectFormError
        return form

    def _name(self, tenant: str) -> str:
        # The prefix keeps pages that were not sent over TLS from setting it.
        return f"{'__Secure-' if self._is_secure else ''}firnline-connect-{tenant}"


def origin_of(url: str) -> str:
    """Return the origin of an address of ours."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
