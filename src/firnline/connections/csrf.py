"""CSRF tokens: what some providers want to see beside the authorisation before they write.

Takes a connection's writes from the channel. A token is fetched with a harmless call, together with
the session cookies that it is bound to, and kept in memory until the provider refuses it. Reads
need none and fetch none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from firnline.connections.authorisation import Authorisation
from firnline.connections.cookies import read_cookies
from firnline.connections.site import Site
from firnline.connectors.manifest import Csrf
from firnline.connectors.protocol import Request, Response
from firnline.flights import Flights
from firnline.transport import ProviderError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_TOKENS_MAX = 2  # for one write: the one that is held, and another when it is refused
HELD_MAX = 4096
TOKEN_LENGTH_MAX = 4096

Fetch = Callable[[Request, Authorisation], Awaitable[Response]]


class CsrfRefusedError(ProviderError):
    """The provider refuses a write for its CSRF token, also with one that it gave just now."""

    code = "csrf_refused"
    advice = "Look at what stands between Firnline and the provider: it may drop session cookies."


@dataclass(frozen=True, slots=True)
class CsrfToken:
    """A token with its cookies, and the authorisation that both were obtained with."""

    shown: Authorisation
    obtained_with: Authorisation = field(repr=False)


class CsrfTokens:
    """The tokens of all connections. One per process, safe to share."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], CsrfToken] = OrderedDict()
        self._flights: Flights[tuple[str, str, Authorisation], CsrfToken | Response] = Flights(
            goes_on=False
        )

    def __repr__(self) -> str:
        return f"CsrfTokens({len(self._held)} held)"

    async def current(
        self,
        site: Site,
        csrf: Csrf,
        authorisation: Authorisation,
        rejected: CsrfToken | None,
        fetch: Fetch,
    ) -> CsrfToken | Response:
        """Return a token other than `rejected`, or the refused answer that stands in its way.

        Of many callers at once one asks the provider.
        """
        held = self._held.get((site.tenant, site.holder))
        # A token of another sign-in would speak with that one's session.
        if held is not None and held is not rejected and held.obtained_with == authorisation:
            return held
        key = (site.tenant, site.holder, authorisation)
        return await self._flights.join(
            key, lambda: self._fetched(site, csrf, authorisation, fetch)
        )

    async def _fetched(
        self, site: Site, csrf: Csrf, authorisation: Authorisation, fetch: Fetch
    ) -> CsrfToken | Response:
        found = await _fetch(site, csrf, authorisation, fetch)
        if isinstance(found, CsrfToken):
            self._held[site.tenant, site.holder] = found
            self._held.move_to_end((site.tenant, site.holder))
            if len(self._held) > HELD_MAX:
                self._held.popitem(last=False)
        return found


def is_csrf_refusal(csrf: Csrf, response: Response) -> bool:
    """Say whether a write was refused for its token: before anything was done."""
    told = response.headers.get(csrf.header.lower(), "")
    return response.status == 403 and told.strip().lower() == "required"


async def _fetch(
    site: Site, csrf: Csrf, authorisation: Authorisation, fetch: Fetch
) -> CsrfToken | Response:
    path = site.fill(csrf.path)
    headers = {csrf.header: "Fetch"}
    answer = await fetch(Request("HEAD", path, headers=headers), authorisation)
    if answer.status != 401 and not _told(csrf, answer):
        # Not every server in front answers HEAD, and some answer it without the token.
        answer = await fetch(Request("GET", path, headers=headers), authorisation)
    token = _told(csrf, answer)
    if not token and site.connector.refused(answer):
        return answer
    shown = Authorisation(
        # None told: where the check is switched off, writes go without.
        headers={csrf.header.lower(): token} if token else {},
        cookies=read_cookies(answer.set_cookies),
        secrets=(token,) if token else (),
    )
    return CsrfToken(shown, authorisation)


def _told(csrf: Csrf, answer: Response) -> str:
    token = answer.headers.get(csrf.header.lower(), "").strip()
    is_one = token.isascii() and token.isprintable() and len(token) <= TOKEN_LENGTH_MAX
    return token if is_one and token.lower() not in ("required", "fetch") else ""
