"""The one outbound HTTP client: deadline, retry, address guard, body cap, concurrency."""

from firnline.transport.admission import AccountLanes, Governor
from firnline.transport.call import Destination, OutboundCall, Use
from firnline.transport.client import Transport
from firnline.transport.errors import (
    ForbiddenHostError,
    ProviderAnswerError,
    ProviderError,
    ProviderForbiddenError,
    ProviderNotFoundError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderScopeError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)

__all__ = [
    "AccountLanes",
    "Destination",
    "ForbiddenHostError",
    "Governor",
    "OutboundCall",
    "ProviderAnswerError",
    "ProviderError",
    "ProviderForbiddenError",
    "ProviderNotFoundError",
    "ProviderRateLimitedError",
    "ProviderRefusedError",
    "ProviderScopeError",
    "ProviderTimeoutError",
    "ProviderUnavailableError",
    "ProviderUnreachableError",
    "Transport",
    "Use",
]
