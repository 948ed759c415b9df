"""Refused answers as verdicts and typed errors, in the words of the connector that judged them.

Takes what a provider answered to the channel or to a login; whoever made the call receives the
error. A provider may quote what it refuses: what the call showed to it is cut out of its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from firnline.connections.site import Site
from firnline.connectors.protocol import Grounds, Request, Response, Verdict
from firnline.transport import (
    ProviderError,
    ProviderForbiddenError,
    ProviderNotFoundError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderScopeError,
    ProviderUnavailableError,
)
from firnline.transport.errors import provider_text
from firnline.transport.retry import RETRY_AFTER_MIN_S, clamp_retry_after

REFUSALS: Mapping[Grounds, type[ProviderRefusedError]] = {
    Grounds.FORBIDDEN: ProviderForbiddenError,
    Grounds.SCOPE_MISSING: ProviderScopeError,
    Grounds.NOT_FOUND: ProviderNotFoundError,
}


def judged(site: Site, response: Response) -> Verdict | None:
    """Return what a refused answer means, without what was shown; None when it is no refusal."""
    if not site.connector.refused(response):
        return None
    verdict = site.connector.classify(response)
    return replace(verdict, message=response.cut(verdict.message))


def refusal_error(
    site: Site, request: Request, response: Response, verdict: Verdict
) -> ProviderError:
    """Return the typed error for a refused answer to `request`."""
    said = provider_text(verdict.message)
    path = urlsplit(request.path).path
    what = f"{request.method} {path} answered {response.status}" + (f": {said}" if said else "")
    if verdict.grounds is Grounds.RATE_LIMITED:
        wait_s = clamp_retry_after(verdict.retry_after_s or RETRY_AFTER_MIN_S)
        return ProviderRateLimitedError(site.destination, what, retry_after_s=wait_s)
    if verdict.grounds is Grounds.UNAVAILABLE:
        return ProviderUnavailableError(site.destination, what)
    kind = REFUSALS.get(verdict.grounds, ProviderRefusedError)
    return kind(site.destination, what, verdict=verdict, answered=response.status)
