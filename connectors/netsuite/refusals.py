"""Says what NetSuite's refusals mean. Takes an answer outside 200..299; the engine acts on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from firnline.connectors.protocol import Grounds, Response, Verdict, grounds_of_status
from firnline.connectors.quotas import CONCURRENCY, QuotaReading

_TOKEN_ERRORS = {
    "invalid_grant": Grounds.TOKEN_REVOKED,
    "invalid_client": Grounds.TOKEN_REVOKED,
    "unauthorized_client": Grounds.TOKEN_REVOKED,
    "invalid_scope": Grounds.SCOPE_MISSING,
    "invalid_request": Grounds.INVALID,
    "unsupported_grant_type": Grounds.INVALID,
}
_BY_CODE = {
    "CONCURRENCY_LIMIT_EXCEEDED": Grounds.RATE_LIMITED,
    # NetSuite does not say whether a token expired, was revoked or never existed.
    "INVALID_LOGIN": Grounds.TOKEN_EXPIRED,
    "INSUFFICIENT_PERMISSION": Grounds.FORBIDDEN,
    "NONEXISTENT_ID": Grounds.NOT_FOUND,
    "NONEXISTENT_FIELD": Grounds.SCHEMA_DRIFT,
    "IDEMPOTENCY_ERROR": Grounds.CONFLICT,
    "UNEXPECTED_ERROR": Grounds.UNAVAILABLE,
}
_PERMISSION_WORDS = ("does not have permission", "permission violation")


def classify(response: Response) -> Verdict:
    """Return what the refusal means, by error code first and status second."""
    body = _body(response)
    token_error = body.get("error")
    if isinstance(token_error, str) and token_error in _TOKEN_ERRORS:
        return Verdict(_TOKEN_ERRORS[token_error], token_error, token_error)
    details = body.get("o:errorDetails")
    first = details[0] if isinstance(details, list) and details else {}
    first = first if isinstance(first, Mapping) else {}
    code = str(first.get("o:errorCode") or body.get("o:errorCode") or "")
    message = str(first.get("detail") or body.get("title") or "")
    grounds = _grounds(response.status, code, message)
    # NetSuite documents no Retry-After, a gateway before it may send one.
    return Verdict(grounds, message, code, response.retry_after_s())


def concurrency(response: Response) -> Sequence[QuotaReading]:
    """Return that no place was free, when that is what the answer says."""
    if response.status == 429 and classify(response).code == "CONCURRENCY_LIMIT_EXCEEDED":
        return [QuotaReading(CONCURRENCY, None, 0.0)]
    return ()


def _grounds(status: int, code: str, message: str) -> Grounds:
    if any(words in message.lower() for words in _PERMISSION_WORDS):
        return Grounds.FORBIDDEN
    if code in _BY_CODE:
        return _BY_CODE[code]
    return grounds_of_status(status)


def _body(response: Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}
