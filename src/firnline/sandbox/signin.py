"""Signs in at a sandbox without a browser, through the same OAuth flows as a person.

For the demo and tests only: the sandboxes' sign-in page takes `login_hint` and `sandbox_approve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import httpx2
from pydantic import SecretStr

from firnline.connections import ClientCredentials, Connections
from firnline.connections.site import declared_site
from firnline.connectors.auth_flows import AuthorizationCode
from firnline.errors import FirnlineError
from firnline.sandbox.protocol import SandboxClient
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow
from firnline.transport.routes import Routes

CALLBACK = "http://127.0.0.1:1/callback"  # never visited: the code is read from the redirect


class SignInError(FirnlineError):
    """The sandbox's sign-in page did not answer with a code."""

    code = "sandbox_sign_in"


async def connect(
    connections: Connections,
    tenant_spec: TenantSpec,
    name: str,
    *,
    client: SandboxClient,
    email: str,
    is_own: bool = False,
) -> ConnectionRow:
    """Connect one system of a tenant to its sandbox as `email`, whatever flow its provider has.

    With `is_own` for that person alone, else for the organisation.
    """
    person = email if is_own else ""
    provider = tenant_spec.connections[name].provider
    await connections.clients.save(
        credentials(client), provider=provider, tenant=tenant_spec.tenant, connection=name
    )
    if not isinstance(declared_site(tenant_spec, name).auth, AuthorizationCode):
        return await connections.connect(tenant_spec, name, person=person)
    start = await connections.start_authorization(
        tenant_spec, name, redirect_uri=CALLBACK, person=person
    )
    async with httpx2.AsyncClient(trust_env=False) as http:
        back = await approved(http, start.url, email, routes=connections.transport.routes)
    return await connections.finish_authorization(
        back["state"], back["code"], issuer=back.get("iss", "")
    )


async def approve(
    http: httpx2.AsyncClient, authorize_url: str, email: str, *, routes: Routes
) -> tuple[str, str]:
    """Approve a sign-in as `email` and return (code, state) from the redirect."""
    back = await approved(http, authorize_url, email, routes=routes)
    return back["code"], back["state"]


async def approved(
    http: httpx2.AsyncClient, authorize_url: str, email: str, *, routes: Routes
) -> Mapping[str, str]:
    """Approve a sign-in as `email` and return what the redirect brings: code, state, maybe iss."""
    target = routes.target(authorize_url)
    if target is None:
        raise SignInError(f"{urlsplit(authorize_url).netloc} is not routed to a sandbox")
    answer = await http.get(
        httpx2.URL(target).copy_merge_params({"login_hint": email, "sandbox_approve": "1"}),
        headers={"host": urlsplit(authorize_url).netloc, "x-forwarded-proto": "https"},
        follow_redirects=False,
    )
    back = dict(parse_qsl(urlsplit(answer.headers.get("location", "")).query))
    if "code" not in back or "state" not in back:
        refused = back.get("error", f"status {answer.status_code}")
        raise SignInError(
            f"the sandbox did not sign {email} in: {refused}",
            hint="Use the email of a person who can sign in to this account.",
        )
    return back


def credentials(client: SandboxClient) -> ClientCredentials:
    """Return a sandbox's OAuth client in the form that connections register."""
    return ClientCredentials(
        client_id=client.client_id,
        client_secret=SecretStr(client.client_secret) if client.client_secret else None,
        private_key_pem=SecretStr(client.private_key_pem) if client.private_key_pem else None,
        key_id=client.key_id,
        algorithm=client.algorithm,
        username=client.username,
        subjects=client.subjects,
    )
