"""Ends tokens at the provider: RFC 7009, or a DELETE of the token's own address.

A refresh token goes with what it was good for; without one the access token is ended. Where the
address stands for whichever token is shown to it, that is the access token, and all goes with it.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import quote, urlsplit

from firnline.connections.clients import ClientCredentials
from firnline.connections.endpoint import TokenSet, client_header
from firnline.connections.flows.flow import FlowTools
from firnline.connections.refusals import Refusal, codes_of, judge, refusal_of, said_in
from firnline.connections.site import Site
from firnline.connectors.auth_flows import OAUTH, AuthorizationCode, OAuth
from firnline.connectors.auth_flows import ClientCredentials as ClientCredentialsAuth
from firnline.connectors.protocol import Response
from firnline.transport import OutboundCall, ProviderAnswerError

# It ended before, or is unknown: what was wanted is so.
GONE_STATUSES = frozenset({404, 410})


async def revoke_tokens(site: Site, tokens: TokenSet, tools: FlowTools) -> bool:
    """End `tokens` at the provider; False where the connector names no way to.

    Raises ClientMissingError or a ProviderError.
    """
    auth = site.auth
    assert isinstance(auth, OAUTH)
    if not auth.revoke_url:
        return False
    refresh = tokens.refresh_token
    ended = (refresh or tokens.access_token).get_secret_value()
    kind = "access_token" if refresh is None else "refresh_token"
    if auth.revoke_by == "delete_path":
        call = _deletion(site, auth, ended)
    elif auth.revoke_by == "delete_own":
        call = _own_deletion(site, auth, tokens.access_token.get_secret_value())
    else:
        call = _revocation(site, auth, await tools.clients.find(site), ended, kind)
    response = await tools.transport.send(call, deadline_s=tools.deadline_s)
    if not _is_ended(auth, response):
        raise ProviderAnswerError(
            site.destination, f"it did not revoke the token: {said_in(response)}"
        )
    return True


def _deletion(site: Site, auth: OAuth, ended: str) -> OutboundCall:
    url = site.fill(auth.revoke_url).rstrip("/")
    # The address itself is a secret here: records and messages show the template.
    return OutboundCall(
        destination=site.destination,
        method="DELETE",
        url=f"{url}/{quote(ended, safe='')}",
        judge=partial(judge, auth),
        target="token",
        template=f"{urlsplit(url).path}/{{token}}",
        secrets=(ended,),
    )


def _own_deletion(site: Site, auth: OAuth, shown: str) -> OutboundCall:
    return OutboundCall(
        destination=site.destination,
        method="DELETE",
        url=site.fill(auth.revoke_url),
        headers={"authorization": f"Bearer {shown}"},
        judge=partial(judge, auth),
        target="token",
        secrets=(shown,),
    )


def _revocation(
    site: Site, auth: OAuth, client: ClientCredentials, ended: str, kind: str
) -> OutboundCall:
    form = {"token": ended, "token_type_hint": kind}
    headers = {}
    if isinstance(auth, AuthorizationCode | ClientCredentialsAuth):
        if auth.client_auth == "basic":
            headers["authorization"] = client_header(client)
        else:
            form |= client.parameters()
    return OutboundCall(
        destination=site.destination,
        method="POST",
        url=site.fill(auth.revoke_url),
        headers=headers,
        form=form,
        judge=partial(judge, auth),
        target="token",
    )


def _is_ended(auth: OAuth, response: Response) -> bool:
    if 200 <= response.status < 300 or response.status in GONE_STATUSES:
        return True
    if auth.revoke_by == "delete_own":
        return False  # an access token that ran out leaves the refresh token beside it as it is
    return refusal_of(auth, response) is Refusal.GRANT or "invalid_token" in codes_of(response)
