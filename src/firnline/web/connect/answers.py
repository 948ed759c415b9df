"""What comes back from providers: the callback, and the page where its account is confirmed.

Takes a provider's redirect in the browser that was sent there; the person confirms or discards
what came of it, and is led back to the list or to the address that their link names.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from firnline.connections.consent.arrivals import Arrival
from firnline.connections.consent.authorize import AuthorizationInvalidError, OtherBrowserError
from firnline.connections.consent.links import ConnectSession
from firnline.connections.consent.offers import Offer
from firnline.errors import FirnlineError
from firnline.transport.errors import provider_text
from firnline.web.connect.desk import ConnectDesk
from firnline.web.connect.sessions import ConnectClosedError, ConnectFormError
from firnline.web.connect.wording import refusal_words

_ANSWER = ("state", "code", "iss", "error", "error_description")


class ConnectAnswers:
    """`/connect/callback/{provider}`, and the confirmation that follows it."""

    def __init__(self, desk: ConnectDesk) -> None:
        self._desk = desk

    async def come_back(self, request: Request) -> Response:
        """Take a provider's answer, in the browser session that it was sent from."""
        answer = _answer_of(request)
        arrivals = self._desk.connections.arrivals
        expected = await arrivals.expected(answer.get("state", ""))
        if expected is None or expected.site.tenant not in self._desk.app.project.tenants:
            raise _invalid()
        session = self._desk.cookies.find(request, expected.site.tenant)
        if session is None or not expected.is_of(session.browser):
            raise OtherBrowserError
        offer = await self._desk.offer(session, expected.site.name)
        came = {
            "browser": session.browser,
            "redirect_uri": self._desk.redirect_uri(request.path_params["provider"]),
            "issuer": answer.get("iss", ""),
        }
        try:
            if "code" not in answer:
                await arrivals.take(answer["state"], **came)
                return self._refused(session, offer, answer)
            token = await arrivals.receive(answer["state"], answer["code"], **came)
        except FirnlineError as error:
            return self._desk.trouble(error, session=session, offer=offer)
        return self._desk.to_confirm(session, offer, token)

    def _refused(
        self, session: ConnectSession, offer: Offer, answer: Mapping[str, str]
    ) -> Response:
        trouble = refusal_words(answer, offer.title)
        return self._desk.page(
            "trouble.html",
            session,
            trouble=trouble,
            code=provider_text(answer.get("error", "")),
            back=self._desk.back(session, offer.name, "refused"),
        )

    async def check(self, request: Request) -> Response:
        """Show whose account it is, before anything is connected."""
        session = self._desk.session(request)
        token = request.query_params.get("arrival", "")
        arrival, offer = await self._waiting(session, request, token)
        return self._desk.page(
            "confirm.html",
            session,
            offer=offer,
            arrival=arrival,
            token=token,
            other_account=_other_account(arrival, offer),
        )

    async def confirm(self, request: Request) -> Response:
        """Make what was shown the connection."""
        session = self._desk.session(request)
        token = await self._token(request, session)
        _, offer = await self._waiting(session, request, token)
        if offer.is_closed:
            raise ConnectClosedError
        try:
            await self._desk.connections.arrivals.confirm(token, browser=session.browser)
        except FirnlineError as error:
            return self._desk.trouble(error, session=session, offer=offer)
        return self._desk.connected(session, offer)

    async def discard(self, request: Request) -> Response:
        """Forget what was shown: it was not the right account."""
        session = self._desk.session(request)
        token = await self._token(request, session)
        _, offer = await self._waiting(session, request, token)
        await self._desk.connections.arrivals.discard(token, browser=session.browser)
        return self._desk.to_list(session, done="discarded", name=offer.name)

    async def _token(self, request: Request, session: ConnectSession) -> str:
        form = await self._desk.cookies.form(request, session)
        if set(form) != {"arrival"}:
            raise ConnectFormError
        return form["arrival"]

    async def _waiting(
        self, session: ConnectSession, request: Request, token: str
    ) -> tuple[Arrival, Offer]:
        """Return what waits for confirmation at this very address."""
        arrival = await self._desk.connections.arrivals.find(token, browser=session.browser)
        place = (session.tenant, request.path_params["connection"], session.person)
        if (arrival.site.tenant, arrival.site.name, arrival.site.person) != place:
            raise _invalid()
        return arrival, await self._desk.offer(session, arrival.site.name)


def _answer_of(request: Request) -> dict[str, str]:
    """Return the parameters of an answer; none may come twice (RFC 6749 section 3.1)."""
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name in _ANSWER]
    if len(pairs) != len(dict(pairs)):
        raise _invalid()
    return dict(pairs)


def _other_account(arrival: Arrival, offer: Offer) -> str:
    """Return the account that was connected before, when it is not the same one."""
    before = offer.status
    if before is None or before.state == "pending" or not before.account:
        return ""
    is_same = (before.provider, before.account) == (
        arrival.site.connector.provider,
        arrival.who.account,
    )
    return "" if is_same else before.account_name or before.account


def _invalid() -> AuthorizationInvalidError:
    return AuthorizationInvalidError("this is not the answer to a sign-in that was started here")
