"""`/graphiql/{tenant}`: the bundled GraphiQL for a signed-in person, in development only.

The page receives its person, its examples and where to fetch tokens as JSON inside the document;
tokens come from a same-origin POST that another site's page cannot make.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from firnline.access.principal import Principal, TokenRefusedError
from firnline.errors import UnknownTenantError
from firnline.web.assets import Bundle
from firnline.web.gateway import Example, Gateway
from firnline.web.shield import CONTENT_POLICY
from firnline.web.signin import TOKEN_LIFETIME_S, ForeignRequestError, OwnAddress, Sessions

# A header that a cross-site form cannot set and a cross-site script may not without asking us.
TOKEN_HEADER = "x-firnline-graphiql"  # noqa: S105 - the name of a header


class GraphiQL:
    """GraphiQL's page and the endpoint that gives it tokens."""

    def __init__(
        self,
        gateway: Gateway,
        sessions: Sessions,
        own: OwnAddress,
        *,
        bundle: Bundle,
        pages: Environment,
    ) -> None:
        self._gateway = gateway
        self._sessions = sessions
        self._own = own
        self._bundle = bundle
        self._page = pages.get_template("graphiql.html")

    async def show(self, request: Request) -> Response:
        """Show GraphiQL to the signed-in person, send anybody else to the sign-in."""
        self._own.check(request)
        tenant = self._tenant(request)
        principal = self._sessions.principal(request, tenant)
        if principal is None:
            return RedirectResponse(f"/signin?tenant={quote(tenant)}", status_code=303)
        nonce = secrets.token_urlsafe(16)
        page = self._page.render(
            tenant=tenant,
            principal=principal,
            people=await self._gateway.people(tenant),
            bundle=self._bundle,
            boot=_boot(principal, await self._gateway.examples(tenant)),
            nonce=nonce,
        )
        return HTMLResponse(page, headers={"content-security-policy": _policy(nonce)})

    async def token(self, request: Request) -> Response:
        """Give the page of a signed-in person a short-lived bearer token."""
        self._own.check(request)
        if TOKEN_HEADER not in request.headers:
            raise ForeignRequestError(f"/graphiql/{self._tenant(request)}")
        principal = self._sessions.principal(request, self._tenant(request))
        if principal is None:
            raise TokenRefusedError("nobody is signed in at this tenant")
        facts = {"token": self._sessions.token(principal), "expires_in_s": TOKEN_LIFETIME_S}
        return Response(orjson.dumps(facts), media_type="application/json")

    def _tenant(self, request: Request) -> str:
        tenant: str = request.path_params["tenant"]
        known = list(self._gateway.tenants())
        if tenant not in known:
            raise UnknownTenantError(tenant, known)
        return tenant


def _boot(principal: Principal, examples: Sequence[Example]) -> dict[str, Any]:
    return {
        "tenant": principal.tenant,
        "person": principal.email,
        "tokenHeader": TOKEN_HEADER,
        "examples": [
            {
                "title": example.name,
                "query": example.text,
                "variables": orjson.dumps(
                    dict(example.variables), option=orjson.OPT_INDENT_2
                ).decode()
                if example.variables
                else "",
            }
            for example in examples
        ],
    }


def _policy(nonce: str) -> str:
    """Return the content policy: our own files and workers, and what our scripts add themselves.

    Style attributes are admitted, style elements only with the nonce: the editor writes the place
    of each line into its markup. A style attribute loads nothing that the policy does not admit.
    """
    return (
        f"{CONTENT_POLICY}; script-src 'self' 'nonce-{nonce}'; worker-src 'self'; "
        f"style-src 'self' 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; img-src 'self' data:"
    )
