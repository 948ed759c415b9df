"""Logs in with a user name and a password, and keeps the cookies of the session.

A session ends when nobody used it for a while, so nothing says beforehand when: the provider's
refusal does, and then what was entered logs in again. Providers license their sessions: a
connection has one, stored as other tokens are and shared by all who call.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from pydantic import SecretStr

from firnline.connections.authorisation import Authorisation, authorisation_of
from firnline.connections.cookies import cookie_line, read_cookies
from firnline.connections.endpoint import GrantRefusedError, TokenSet
from firnline.connections.flows.entered import CredentialsRefusedError
from firnline.connections.flows.flow import FlowTools, Given
from firnline.connections.site import Site
from firnline.connections.verdicts import judged, refusal_error
from firnline.connectors.auth_flows import Session, fields_of
from firnline.connectors.protocol import Grounds, Request, Response, Verdict
from firnline.transport import OutboundCall, ProviderAnswerError, ProviderError
from firnline.transport.concealing import Hidden, HiddenValues
from firnline.transport.errors import provider_text

LEAVING_S = 3.0  # of a session that another one replaces; it idles out else
_GONE = (Grounds.TOKEN_EXPIRED, Grounds.TOKEN_REVOKED)


class SessionFlow:
    """Takes what the login's body names, `username` and `password` among it."""

    def __init__(self, tools: FlowTools) -> None:
        self._tools = tools

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Log in; raises CredentialsRefusedError when they are not the right ones."""
        auth = site.auth
        assert isinstance(auth, Session)
        plain = HiddenValues((name, each.get_secret_value()) for name, each in given.items())
        body = HiddenValues((name, site.fill(value, **plain)) for name, value in auth.body.items())
        # Not repeatable: a login whose answer is lost keeps a licence until it idles out.
        login = Request("POST", auth.login_path, json=body, repeatable=False)
        response, verdict = await self._ask(
            site, login, _secrets(auth, plain), deadline_s=self._tools.deadline_s
        )
        if verdict is not None:
            raise _login_refusal(site, login, response, verdict)
        cookies = read_cookies(response.set_cookies)
        kept = {name: cookies[name] for name in auth.cookies if name in cookies}
        if auth.cookies[0] not in kept:
            raise ProviderAnswerError(
                site.destination, f"the login set no cookie {auth.cookies[0]!r}"
            )
        token = SecretStr(cookie_line(kept))
        return TokenSet(token, None, self._tools.clock.now(), None, entered=dict(given))

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Log in again; raises as `obtain`."""
        missing = {field.name for field in fields_of(site.auth)} - set(tokens.entered)
        if missing:  # the connector asks for more than it did when this was entered
            raise GrantRefusedError(site.destination, "not all is stored that the login asks for")
        fresh = await self.obtain(site, tokens.entered)
        # It may live on, where a node was lost or somebody wanted another: that takes a licence.
        with suppress(ProviderError):
            await self._log_out(site, tokens, deadline_s=LEAVING_S)
        return fresh

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """Log out, which gives the licence back."""
        return await self._log_out(site, tokens, deadline_s=self._tools.deadline_s)

    async def _log_out(self, site: Site, tokens: TokenSet, *, deadline_s: float) -> bool:
        auth = site.auth
        assert isinstance(auth, Session)
        if not auth.logout_path:
            return False
        # Ended twice is ended: a lost answer does no harm.
        logout = Request("POST", auth.logout_path)
        shown = authorisation_of(auth, tokens.access_token)
        response, verdict = await self._ask(
            site, logout, shown.hidden(), shown=shown, deadline_s=deadline_s
        )
        if verdict is not None and verdict.grounds not in _GONE:
            raise refusal_error(site, logout, response, verdict)
        return True  # also when the session was gone already

    async def _ask(
        self,
        site: Site,
        request: Request,
        secrets: Hidden,
        *,
        shown: Authorisation = Authorisation(),  # noqa: B008 - frozen
        deadline_s: float,
    ) -> tuple[Response, Verdict | None]:
        own = {name.lower(): value for name, value in site.manifest.headers.items()}
        call = OutboundCall(
            destination=site.destination,
            method=request.method,
            url=site.base_url + request.path,
            headers={**own, **shown.as_headers()},
            json=request.json,
            repeatable=request.repeatable,
            judge=partial(judged, site),
            target="token",
            secrets=secrets,
        )
        response = await self._tools.transport.send(call, deadline_s=deadline_s)
        return response, call.judge(response)


def _login_refusal(
    site: Site, login: Request, response: Response, verdict: Verdict
) -> ProviderError:
    if verdict.grounds not in _GONE:
        return refusal_error(site, login, response, verdict)
    said = provider_text(verdict.message) or f"the provider answered {response.status}"
    return CredentialsRefusedError(site.destination, f"the login was refused: {said}")


def _secrets(auth: Session, plain: Mapping[str, str]) -> Hidden:
    return Hidden(
        plain[field.name] for field in auth.fields if field.secret and field.name in plain
    )
