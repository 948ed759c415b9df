"""The one outbound HTTP client: deadline, retry, circuit, quota, address guard."""

from firnline.transport.admission import AccountLanes, Governor
from firnline.transport.call import Destination, OutboundCall, Use
from firnline.transport.call_log import CallLog, CallRecord, RecentCalls
from firnline.transport.circuit import CircuitState
from firnline.transport.circuits import CircuitFacts, Circuits, ConnectionCircuits
from firnline.transport.client import Transport
from firnline.transport.errors import (
    ForbiddenHostError,
    ProviderAnswerError,
    ProviderCircuitOpenError,
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
    "CallLog",
    "CallRecord",
    "CircuitFacts",
    "CircuitState",
    "Circuits",
    "ConnectionCircuits",
    "Destination",
    "ForbiddenHostError",
    "Governor",
    "OutboundCall",
    "ProviderAnswerError",
    "ProviderCircuitOpenError",
    "ProviderError",
    "ProviderForbiddenError",
    "ProviderNotFoundError",
    "ProviderRateLimitedError",
    "ProviderRefusedError",
    "ProviderScopeError",
    "ProviderTimeoutError",
    "ProviderUnavailableError",
    "ProviderUnreachableError",
    "RecentCalls",
    "Transport",
    "Use",
]
