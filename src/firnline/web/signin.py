"""The development sign-in: a person picks who to be, GraphiQL receives tokens for that person.

Exists in development only. The session cookie is a token of its own audience: it is worthless at
`/graphql`, and GraphiQL exchanges it for short-lived bearer tokens that never enter an address.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from firnline.access.principal import Principal, TokenRefusedError, TokenVerifier
from firnline.access.signing import DevelopmentSigner
from firnline.clock import Clock
from firnline.errors import FirnlineError, UnknownTenantError
from firnline.settings import Settings
from firnline.web.body import read_form
from firnline.web.gateway import Gateway, PersonChoice
from firnline.web.head import RequestHead

SESSION_LIFETIME_S = 8 * 3600
TOKEN_LIFETIME_S = 300
COOKIE = "firnline_person"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ForeignRequestError(FirnlineError):
    """A page of another site, or another host name, tried to use the development pages."""

    code = "foreign_request"
    status = 403

    def __init__(self, public_url: str) -> None:
        super().__init__(
            "the development pages answer only to their own address",
            hint=f"Open {public_url}, or set FIRNLINE_PUBLIC_URL to the address you use.",
        )


class UnknownPersonError(FirnlineError):
    """The development sign-in knows no such person at the tenant."""

    code = "unknown_person"
    status = 400

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"the development sign-in offers no such person at {tenant}",
            hint="Choose one of the people on the sign-in page; they come from the synced "
            "user records.",
        )


class Sessions:
    """Who is signed in for each tenant, as signed cookies; and tokens for them."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        audience = f"{settings.jwt_audience}/graphiql"
        self._sessions = DevelopmentSigner.from_settings(settings, clock=clock, audience=audience)
        self._tokens = DevelopmentSigner.from_settings(settings, clock=clock)
        self._verifier = TokenVerifier.of_keys(
            self._sessions.public_keys,
            issuer=settings.jwt_issuer,
            audience=audience,
            clock=clock,
        )
        self._is_secure = settings.public_url.startswith("https://")

    def start(self, response: Response, tenant: str, person: PersonChoice) -> None:
        """Sign the person in at the tenant: other tenants' sessions stay as they are."""
        response.set_cookie(
            COOKIE,
            self._sessions.issue_token(tenant, person.email, SESSION_LIFETIME_S, name=person.name),
            path=f"/graphiql/{tenant}",
            secure=self._is_secure,
            httponly=True,
            samesite="strict",
        )

    def principal(self, request: Request, tenant: str) -> Principal | None:
        """Return who is signed in at the tenant, None when nobody is."""
        try:
            principal = self._verifier.verify(request.cookies.get(COOKIE, ""))
        except TokenRefusedError:
            return None
        return principal if principal.tenant == tenant else None

    def token(self, principal: Principal) -> str:
        """Return a bearer token for the signed-in person."""
        return self._tokens.issue_token(
            principal.tenant, principal.email, TOKEN_LIFETIME_S, name=principal.name
        )


class OwnAddress:
    """Refuses requests that reach the development pages under a stranger's name.

    A page whose name is re-pointed at 127.0.0.1 would otherwise be of our own origin and could
    sign in as anybody (DNS rebinding).
    """

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._hosts = _LOOPBACK | {urlsplit(public_url).hostname or ""}

    def check(self, request: Request) -> None:
        """Raise `ForeignRequestError` unless the request is for, and from, our own address."""
        host = request.headers.get("host", "")
        if _hostname(host) not in self._hosts:
            raise ForeignRequestError(self._public_url)
        if request.method in {"GET", "HEAD"}:
            return
        origin = request.headers.get("origin")
        is_own = origin is None or urlsplit(origin).netloc == host
        site = request.headers.get("sec-fetch-site", "same-origin")
        if not is_own or site not in {"same-origin", "none"}:
            raise ForeignRequestError(self._public_url)


class SignIn:
    """`/signin`: lists the people of each tenant, and signs one in."""

    def __init__(
        self, gateway: Gateway, sessions: Sessions, own: OwnAddress, *, pages: Environment
    ) -> None:
        self._gateway = gateway
        self._sessions = sessions
        self._own = own
        self._page = pages.get_template("signin.html")

    async def show(self, request: Request) -> Response:
        """Show the people of `?tenant=`, or of every tenant."""
        self._own.check(request)
        asked = request.query_params.get("tenant")
        if asked is not None:
            self._require(asked)
        tenants = [asked] if asked else list(self._gateway.tenants())
        people = {tenant: await self._gateway.people(tenant) for tenant in tenants}
        return HTMLResponse(self._page.render(people=people, asked=asked))

    async def sign_in(self, request: Request) -> Response:
        """Sign in the posted `tenant` and `email`, then go to the tenant's GraphiQL."""
        self._own.check(request)
        form = await read_form(RequestHead.of(request.scope), request.receive)
        tenant = form.get("tenant", "")
        self._require(tenant)
        person = await self._person(tenant, form.get("email", ""))
        # Only the path: what the client sent as its host must not decide where it goes next.
        response = RedirectResponse(f"/graphiql/{quote(tenant)}", status_code=303)
        self._sessions.start(response, tenant, person)
        return response

    def _require(self, tenant: str) -> None:
        known = list(self._gateway.tenants())
        if tenant not in known:
            raise UnknownTenantError(tenant, known)

    async def _person(self, tenant: str, email: str) -> PersonChoice:
        for person in await self._gateway.people(tenant):
            if person.email == email:
                return person
        raise UnknownPersonError(tenant)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
