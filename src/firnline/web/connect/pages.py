"""The list of a tenant's systems, and what its buttons do.

Takes requests with a session of a connect link; a browser receives pages that work without
scripts, or is sent on to a provider.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from firnline.connections.consent.links import ConnectLinkInvalidError, ConnectSession
from firnline.connections.consent.offers import Offer
from firnline.errors import FirnlineError
from firnline.web.connect.desk import ConnectDesk
from firnline.web.connect.sessions import ConnectClosedError, ConnectFormError
from firnline.web.connect.wording import done_words, trouble_words

# Told by browsers that fetch a page before anybody asked for it: that must not use a link up.
_AHEAD = ("sec-purpose", "purpose", "x-moz")


class ConnectPages:
    """`/connect/{tenant}` and the pages below it."""

    def __init__(self, desk: ConnectDesk) -> None:
        self._desk = desk

    async def show(self, request: Request) -> Response:
        """Show the tenant's systems; with `?link=` begin a session first."""
        if "link" in request.query_params:
            return await self._enter(request)
        session = self._desk.session(request)
        offers = await self._desk.offers(session)
        return self._desk.page("list.html", session, offers=offers, done=_done(request, offers))

    async def _enter(self, request: Request) -> Response:
        """Exchange a link for a session, and leave it out of the address from then on."""
        tenant = request.path_params["tenant"]
        is_ahead = any("prefetch" in request.headers.get(name, "") for name in _AHEAD)
        if request.method != "GET" or is_ahead or tenant not in self._desk.app.project.tenants:
            raise ConnectLinkInvalidError
        session = await self._desk.links.enter(
            request.query_params["link"],
            tenant,
            session=self._desk.cookies.find(request, tenant),
        )
        response = self._desk.to_list(session)
        self._desk.cookies.start(response, session)
        return response

    async def connect(self, request: Request) -> Response:
        """Send the person to the provider, or sign in at once where that needs nobody."""
        session, offer = await self._posted(request)
        if offer.is_closed:
            raise ConnectClosedError
        try:
            if offer.way == "sign_in":
                return self._desk.to(await self._sign_in(session, offer))
            if offer.way == "key":
                return self._desk.to_confirm(session, offer, await self._arrived(session, offer))
            return self._desk.to(f"/connect/{session.tenant}/{offer.name}/enter")
        except FirnlineError as error:
            return self._desk.trouble(error, session=session, offer=offer)

    async def _sign_in(self, session: ConnectSession, offer: Offer) -> str:
        connections = self._desk.connections
        start = await connections.start_authorization(
            self._desk.app.tenant(session.tenant),
            offer.name,
            redirect_uri=self._desk.redirect_uri(offer.site.connector.provider),
            person=session.person,
            browser=session.browser,
        )
        return connections.transport.routes.reachable(start.url)

    async def enter(self, request: Request) -> Response:
        """Show the form for what the provider's connection needs entered."""
        session = self._desk.session(request)
        offer = await self._desk.offer(session, request.path_params["connection"])
        if offer.way != "enter" or offer.is_closed:
            return self._desk.to_list(session)
        return self._desk.page("enter.html", session, offer=offer, trouble=None)

    async def entered(self, request: Request) -> Response:
        """Try what was entered, and ask whose account it is; it is never shown again."""
        session = self._desk.session(request)
        form = await self._desk.cookies.form(request, session)
        offer = await self._desk.offer(session, request.path_params["connection"])
        if offer.is_closed:
            raise ConnectClosedError
        fields = {
            field.name: SecretStr(form[field.name]) for field in offer.fields if field.name in form
        }
        try:
            token = await self._arrived(session, offer, fields)
        except FirnlineError as error:
            trouble = trouble_words(error, offer.title)
            return self._desk.page(
                "enter.html", session, status=error.status, offer=offer, trouble=trouble
            )
        return self._desk.to_confirm(session, offer, token)

    async def _arrived(
        self,
        session: ConnectSession,
        offer: Offer,
        fields: Mapping[str, SecretStr] | None = None,
    ) -> str:
        return await self._desk.connections.arrive(
            self._desk.app.tenant(session.tenant),
            offer.name,
            fields,
            person=session.person,
            browser=session.browser,
        )

    async def ask_to_disconnect(self, request: Request) -> Response:
        """Ask once more before a system is disconnected."""
        session = self._desk.session(request)
        offer = await self._desk.offer(session, request.path_params["connection"])
        if offer.status is None or offer.status.state == "revoked":
            return self._desk.to_list(session)
        return self._desk.page("disconnect.html", session, offer=offer)

    async def disconnect(self, request: Request) -> Response:
        """End a connection here and, where it can be asked, at the provider."""
        session, offer = await self._posted(request)
        if offer.status is not None and offer.status.state != "revoked":
            await self._desk.connections.revoke(
                self._desk.app.tenant(session.tenant),
                offer.name,
                person=session.person,
                reason="disconnected on the connect page",
            )
        return self._desk.to_list(session, done="disconnected", name=offer.name)

    async def _posted(self, request: Request) -> tuple[ConnectSession, Offer]:
        """Return what a button of the session's own page is about."""
        session = self._desk.session(request)
        if await self._desk.cookies.form(request, session):
            raise ConnectFormError  # buttons bring nothing else
        return session, await self._desk.offer(session, request.path_params["connection"])


def _done(request: Request, offers: list[Offer]) -> str:
    name = request.query_params.get("connection", "")
    offer = next((each for each in offers if each.name == name), None)
    if offer is None:
        return ""
    return done_words(request.query_params.get("done", ""), offer.status, offer.title)
