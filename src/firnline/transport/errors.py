"""What can go wrong between Firnline and a provider, as typed errors.

A message names the provider, the tenant's connection and what happened. It never holds a token, a
header, a body of ours or a query string.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from firnline.connectors.protocol import ErrorClass
from firnline.errors import FirnlineError

if TYPE_CHECKING:
    from firnline.connectors.protocol import Verdict
    from firnline.transport.call import Destination

PROVIDER_TEXT_MAX = 300


def provider_text(text: str) -> str:
    """Return a provider's sentence fit for one line of a log: no control characters, bounded."""
    flat = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).strip()
    return flat if len(flat) <= PROVIDER_TEXT_MAX else flat[: PROVIDER_TEXT_MAX - 1] + "…"


class ProviderError(FirnlineError):
    """A call to a provider did not succeed. `destination` says whose and where.

    `error_class` says whether it is worth repeating, `was_sent` is False only where surely nothing
    of the request has left. `retry_after_s` is how long the provider asks to be left alone.
    """

    code = "provider"
    status = 502
    advice: ClassVar[str] = ""
    error_class: ErrorClass = ErrorClass.UNKNOWN
    was_sent: bool = True
    retry_after_s: float | None = None

    def __init__(self, destination: Destination, what: str, *, hint: str = "") -> None:
        super().__init__(f"{destination.label}: {what}", hint=hint or self.advice)
        self.destination = destination

    def as_dict(self) -> dict[str, Any]:
        """Add the wait to the facts, where there is one."""
        facts = super().as_dict()
        if self.retry_after_s is not None:
            facts["retry_after_s"] = round(self.retry_after_s, 1)
        return facts


class ProviderUnreachableError(ProviderError):
    """No connection to the provider could be made, or it broke off."""

    code = "provider_unreachable"
    error_class = ErrorClass.TRANSIENT
    retryable = True
    status = 503
    advice = "Try again shortly; if it lasts, check the provider's status page and the network."


class ProviderTimeoutError(ProviderError):
    """The provider did not answer within the deadline."""

    code = "provider_timeout"
    error_class = ErrorClass.TRANSIENT
    retryable = True
    status = 504
    advice = "Try again shortly; if it lasts, check the provider's status page."


class ProviderUnavailableError(ProviderError):
    """The provider answered that it is in trouble itself."""

    code = "provider_unavailable"
    error_class = ErrorClass.TRANSIENT
    retryable = True
    status = 503
    advice = "Try again shortly; if it lasts, check the provider's status page."

    def __init__(
        self, destination: Destination, what: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(destination, what)
        self.retry_after_s = retry_after_s


class ProviderRateLimitedError(ProviderError):
    """The provider's quota is used up. `retry_after_s` is when it may be asked again."""

    code = "provider_rate_limited"
    error_class = ErrorClass.RATE_LIMITED
    retryable = True
    status = 503

    def __init__(self, destination: Destination, what: str, *, retry_after_s: float) -> None:
        super().__init__(destination, what, hint=f"Ask again in {retry_after_s:.0f} s or later.")
        self.retry_after_s: float = retry_after_s


class ProviderCircuitOpenError(ProviderError):
    """So many calls of this connection failed that its provider is left alone for a while."""

    code = "provider_circuit_open"
    retryable = True
    status = 503
    error_class = ErrorClass.TRANSIENT
    was_sent = False

    def __init__(self, destination: Destination, face: str, *, retry_after_s: float) -> None:
        super().__init__(
            destination,
            f"{face} is not called now, as too many calls failed",
            hint=f"Ask again in {max(1.0, retry_after_s):.0f} s or later.",
        )
        self.retry_after_s: float = retry_after_s


class ProviderAnswerError(ProviderError):
    """The provider's answer cannot be used: too large, or not what the format says."""

    code = "provider_answer_unusable"
    advice = "Look at what stands between Firnline and the provider; report it if it stays."


class ProviderRefusedError(ProviderError):
    """The provider refused the call; `verdict` says why in the engine's words."""

    code = "provider_refused"
    advice = "The call will not succeed as it is; look at the provider's message."

    def __init__(
        self, destination: Destination, what: str, *, verdict: Verdict, answered: int
    ) -> None:
        super().__init__(destination, what)
        self.error_class = verdict.grounds.error_class
        self.verdict = verdict
        self.answered = answered


class ProviderForbiddenError(ProviderRefusedError):
    """The person behind the connection may not do this."""

    code = "provider_forbidden"
    advice = "Give the connected user this permission at the provider, or connect another user."


class ProviderScopeError(ProviderRefusedError):
    """The token was not granted the scope that this call needs."""

    code = "provider_scope_missing"
    advice = "Connect again and grant every permission that is asked for."


class ProviderNotFoundError(ProviderRefusedError):
    """The provider does not know what was asked for."""

    code = "provider_not_found"
    advice = "Run discovery again: the object may have been renamed or deleted."


class ForbiddenHostError(ProviderError):
    """The address guard refused a URL; nothing was sent."""

    code = "forbidden_host"
    error_class = ErrorClass.INVALID
    advice = "Check the connection's settings; a connector may only call its provider's own hosts."
