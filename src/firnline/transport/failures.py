"""What a failed exchange is, as a typed error, and whether it speaks against the provider.

Takes the exception that `wire` raised; the client raises or repeats by the error.
"""

from __future__ import annotations

import httpx2

from firnline.transport.address import AddressRefused
from firnline.transport.call import OutboundCall
from firnline.transport.errors import (
    ForbiddenHostError,
    ProviderAnswerError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnreachableError,
)
from firnline.transport.redirects import RedirectElsewhere, RedirectRefused
from firnline.transport.wire import AnswerUnusable

FAILURES = (
    AddressRefused,
    RedirectRefused,
    AnswerUnusable,
    TimeoutError,
    httpx2.TransportError,
    httpx2.DecodingError,
)
PATIENCE_MIN_S = 1.0  # who waited shorter learned nothing about the provider
_NEVER_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout)


def error_of(call: OutboundCall, failure: Exception) -> ProviderError:
    """Return the typed error of an exchange that one of FAILURES ended."""
    error = _error(call, failure)
    if isinstance(failure, (AddressRefused, httpx2.PoolTimeout, *_NEVER_CONNECTED)):
        error.was_sent = False
    return error


def speaks_against_provider(failure: Exception, *, allowed_s: float) -> bool | None:
    """Say whether the provider failed; None when it was not asked, or not long enough."""
    match failure:
        case AddressRefused() | httpx2.PoolTimeout() | httpx2.LocalProtocolError():
            return None
        case RedirectRefused() | AnswerUnusable() | httpx2.DecodingError():
            return False  # it answered, if not as it should
        case TimeoutError() | httpx2.TimeoutException():
            return True if allowed_s >= PATIENCE_MIN_S else None
    return True


def _error(call: OutboundCall, failure: Exception) -> ProviderError:
    destination, endpoint = call.destination, call.endpoint
    match failure:
        case AddressRefused():
            return ForbiddenHostError(destination, f"{call.method} was not sent: {failure}")
        case RedirectElsewhere():
            return ForbiddenHostError(
                destination, f"a redirect of {endpoint} was not followed: {failure}"
            )
        case RedirectRefused():
            return ProviderAnswerError(
                destination, f"a redirect of {endpoint} was not followed: {failure}"
            )
        case AnswerUnusable():
            return ProviderAnswerError(destination, f"the answer to {endpoint} {failure}")
        case httpx2.DecodingError():
            return ProviderAnswerError(
                destination, f"the answer to {endpoint} is wrongly compressed"
            )
        case httpx2.ConnectTimeout():
            return ProviderUnreachableError(destination, f"{endpoint} found no connection in time")
        case httpx2.PoolTimeout():
            return ProviderUnreachableError(
                destination, f"{endpoint} found all connections to the provider in use"
            )
        case TimeoutError() | httpx2.TimeoutException():
            return ProviderTimeoutError(destination, f"{endpoint} got no answer in time")
    what = f"{endpoint} got no whole answer ({type(failure).__name__})"
    return ProviderUnreachableError(destination, what)
