"""What Salesforce's refusals mean: takes a response, gives the engine a verdict.

REST errors are a JSON array of {message, errorCode}; OAuth errors an object {error,
error_description}; the user-info endpoint answers a bare word such as Bad_OAuth_Token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firnline.connectors.protocol import Grounds, Response, Verdict, grounds_of_status
from firnline.connectors.quotas import CONCURRENCY, QuotaReading, salesforce_limit_info

# The daily allowance is a rolling 24 hours without Retry-After: asking sooner only burns calls.
_QUOTA_PAUSE_S = 900.0
_MESSAGE_LENGTH_MAX = 500

_BY_CODE = {
    "INVALID_SESSION_ID": Grounds.TOKEN_EXPIRED,
    "INVALID_AUTH_HEADER": Grounds.TOKEN_EXPIRED,
    "REQUEST_LIMIT_EXCEEDED": Grounds.RATE_LIMITED,
    "SERVER_UNAVAILABLE": Grounds.UNAVAILABLE,
    "UNABLE_TO_LOCK_ROW": Grounds.UNAVAILABLE,
    "QUERY_TIMEOUT": Grounds.UNAVAILABLE,
    "UNKNOWN_EXCEPTION": Grounds.UNAVAILABLE,
    "INVALID_QUERY_LOCATOR": Grounds.CURSOR_GONE,
    "INVALID_FIELD": Grounds.SCHEMA_DRIFT,
    "INVALID_TYPE": Grounds.SCHEMA_DRIFT,
    "NOT_FOUND": Grounds.NOT_FOUND,
    "ENTITY_IS_DELETED": Grounds.NOT_FOUND,
    "DUPLICATE_VALUE": Grounds.CONFLICT,
    "DUPLICATES_DETECTED": Grounds.CONFLICT,
    "API_DISABLED_FOR_ORG": Grounds.FORBIDDEN,
    "API_CURRENTLY_DISABLED": Grounds.FORBIDDEN,
    "FUNCTIONALITY_NOT_ENABLED": Grounds.FORBIDDEN,
    # OAuth
    "invalid_grant": Grounds.TOKEN_REVOKED,
    "inactive_user": Grounds.TOKEN_REVOKED,
    "inactive_org": Grounds.TOKEN_REVOKED,
    "invalid_scope": Grounds.SCOPE_MISSING,
    "insufficient_scope": Grounds.SCOPE_MISSING,
    "access_denied": Grounds.FORBIDDEN,
    "rate_limit_exceeded": Grounds.RATE_LIMITED,
    "unsupported_token_type": Grounds.INVALID,
    "invalid_token": Grounds.TOKEN_REVOKED,
    "Bad_OAuth_Token": Grounds.TOKEN_EXPIRED,
    "Missing_OAuth_Token": Grounds.TOKEN_EXPIRED,
}


def verdict(response: Response) -> Verdict:
    """Return what the engine should do about `response`, an answer outside 200..299."""
    code, message = _first_error(response)
    grounds = _grounds(response.status, code, message)
    return Verdict(
        grounds,
        message=message[:_MESSAGE_LENGTH_MAX],
        code=code,
        retry_after_s=_pause_s(response, grounds, message),
    )


def usage(response: Response) -> Sequence[QuotaReading]:
    """Return what an answer says about the day's calls and about the long ones at a time."""
    code, message = ("", "") if response.status < 400 else _first_error(response)
    if code == "REQUEST_LIMIT_EXCEEDED" and message.startswith("Concurrent"):
        # The number counts calls that last over 20 s; fewer at a time is what helps.
        return [*salesforce_limit_info(response), QuotaReading(CONCURRENCY, None, 0.0)]
    return salesforce_limit_info(response)


def _grounds(status: int, code: str, message: str) -> Grounds:
    # A token without the api scope is refused as a dead session, told apart by its text only.
    if code == "INVALID_SESSION_ID" and "not valid for use" in message:
        return Grounds.SCOPE_MISSING
    if code.startswith(("INSUFFICIENT_ACCESS", "NO_ACCESS")):
        return Grounds.FORBIDDEN
    if code in _BY_CODE:
        return _BY_CODE[code]
    return grounds_of_status(status)


def _pause_s(response: Response, grounds: Grounds, message: str) -> float | None:
    stated_s = response.retry_after_s()
    if stated_s is not None:
        return stated_s
    if grounds is Grounds.RATE_LIMITED and message.startswith("TotalRequests"):
        return _QUOTA_PAUSE_S
    return None


def _first_error(response: Response) -> tuple[str, str]:
    """Return the first error's code and message, whichever form the answer has."""
    try:
        body: Any = response.json()
    except ValueError:
        text = response.text().strip()
        known = text if text in _BY_CODE else ""
        return known, text
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return "", str(first)
    code = first.get("errorCode") or first.get("error") or first.get("statusCode") or ""
    message = first.get("message") or first.get("error_description") or ""
    return str(code), str(message)
