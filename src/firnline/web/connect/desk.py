"""What every connect page needs: the project, the session's systems, and how a page is answered.

Takes an `App`; the pages and the provider's answers are given through it, each with the headers
that keep other sites out.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from firnline.app import App
from firnline.connections.consent.links import ConnectSession
from firnline.connections.consent.offers import Offer, offers_to
from firnline.connections.consent.return_to import (
    ReturnToRefusedError,
    checked_return,
    with_outcome,
)
from firnline.connections.site import UnknownConnectionError
from firnline.errors import FirnlineError
from firnline.web.connect.sessions import ConnectCookies, ConnectSessionError, origin_of
from firnline.web.connect.theme import Theme
from firnline.web.connect.wording import moment_words, state_words, trouble_words


class ConnectDesk:
    """Finds what a request is about, and makes its answer."""

    def __init__(
        self, app: App, *, cookies: ConnectCookies, theme: Theme, pages: Environment
    ) -> None:
        self.app = app
        self.connections = app.connections
        self.links = app.connect_links
        self.cookies = cookies
        self._theme = theme
        self._pages = pages
        self._policy = _policy(app)

    def redirect_uri(self, provider: str) -> str:
        """Return where a provider sends people back to: an address that is no other provider's."""
        return f"{origin_of(self.app.settings.public_url)}/connect/callback/{quote(provider)}"

    def session(self, request: Request) -> ConnectSession:
        """Return the session for the tenant in the path; raises ConnectSessionError."""
        tenant: str = request.path_params["tenant"]
        session = self.cookies.require(request, tenant)
        if tenant not in self.app.project.tenants:
            raise ConnectSessionError
        return session

    async def offers(self, session: ConnectSession) -> list[Offer]:
        """Return all systems that the session may connect."""
        spec = self.app.tenant(session.tenant)
        return offers_to(session, spec, await self.connections.statuses(spec))

    async def offer(self, session: ConnectSession, name: str) -> Offer:
        """Return one system of the session; raises UnknownConnectionError."""
        offers = {offer.name: offer for offer in await self.offers(session)}
        if name not in offers:
            raise UnknownConnectionError(session.tenant, name, list(offers))
        return offers[name]

    def page(
        self, template: str, session: ConnectSession | None, *, status: int = 200, **content: Any
    ) -> Response:
        """Return a page of the session."""
        spec = None if session is None else self.app.tenant(session.tenant)
        text = self._pages.get_template(f"connect/{template}").render(
            look=self._theme.look,
            session=session,
            customer="" if spec is None else spec.name or spec.tenant,
            ticket="" if session is None else self.cookies.form_ticket(session),
            is_framed=bool(self.app.settings.connect_frame_ancestors),
            words=state_words,
            moment=moment_words,
            **content,
        )
        return HTMLResponse(text, status_code=status, headers=self._headers())

    def trouble(
        self,
        error: FirnlineError,
        *,
        session: ConnectSession | None = None,
        offer: Offer | None = None,
    ) -> Response:
        """Return the page that tells what went wrong, and the way on."""
        trouble = trouble_words(error, offer.title if offer else "")
        return self.page(
            "trouble.html", session, status=error.status, trouble=trouble, code=error.code, back=""
        )

    def to_list(self, session: ConnectSession, *, done: str = "", name: str = "") -> Response:
        """Return the way back to the list, which says what was done."""
        query = f"?done={quote(done)}&connection={quote(name)}" if done else ""
        return self.to(f"/connect/{quote(session.tenant)}{query}")

    def connected(self, session: ConnectSession, offer: Offer) -> Response:
        """Return the way on after a system was connected: to the link's address, or to the list."""
        back = self.back(session, offer.name, "active")
        return self.to(back) if back else self.to_list(session, done="connected", name=offer.name)

    def to_confirm(self, session: ConnectSession, offer: Offer, token: str) -> Response:
        """Return the way to the page that asks whether it is the right account."""
        place = f"/connect/{quote(session.tenant)}/{quote(offer.name)}/confirm"
        return self.to(f"{place}?arrival={token}")

    def back(self, session: ConnectSession, name: str, state: str) -> str:
        """Return the address that the link leads back to, empty where it names none.

        What is not on the list any more is not led to: a link may be older than the list.
        """
        address = session.link.return_to
        try:
            listed = self.app.settings.return_to
            return address and with_outcome(
                checked_return(address, listed), {"connection": name, "state": state}
            )
        except ReturnToRefusedError:
            return ""

    def to(self, address: str) -> Response:
        """Return the way to another page, which may be a provider's."""
        return RedirectResponse(address, status_code=303, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"content-security-policy": self._policy}


def _policy(app: App) -> str:
    """Return the content policy of the pages: our own style and pictures, and no script at all.

    Browsers hold `form-action` against every redirect that follows a form, and people who are sent
    to a provider are led on to their own company's sign-in, wherever that is: it has to admit all
    of https, and what stands for a provider on this machine.
    """
    settings = app.settings
    local = {*settings.routes.values(), *(origin_of(each) for each in settings.return_to)}
    targets = " ".join(["'self'", "https:", *sorted(local)])
    ancestors = " ".join(settings.connect_frame_ancestors) or "'none'"
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        f"form-action {targets}; frame-ancestors {ancestors}"
    )
