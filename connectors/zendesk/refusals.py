"""What Zendesk's refusals mean. Several error forms coexist; all end up in a `Verdict`."""

from __future__ import annotations

from typing import Any

from firnline.connectors.protocol import Grounds, Response, Verdict, grounds_of_status

MESSAGE_MAX = 300
BY_CODE = {
    # The token endpoint: the grant is used up or withdrawn, a person must connect again.
    "invalid_grant": Grounds.TOKEN_REVOKED,
    "invalid_client": Grounds.INVALID,
    "unauthorized_client": Grounds.INVALID,
    "invalid_scope": Grounds.SCOPE_MISSING,
    "insufficient_scope": Grounds.SCOPE_MISSING,
    # Two requests met over the same record or idempotency key: again later may do.
    "IdempotentRequestInProgress": Grounds.CONFLICT,
    "UpdateConflict": Grounds.CONFLICT,
    "InvalidCursor": Grounds.CURSOR_GONE,
    "TooManyJobs": Grounds.RATE_LIMITED,
    "APIRateLimitExceeded": Grounds.RATE_LIMITED,
    "unavailable": Grounds.UNAVAILABLE,
}


def classify(response: Response) -> Verdict:
    """Return the verdict on an answer outside 200..299."""
    code, message = _said(response)
    return Verdict(
        grounds=_grounds(response.status, code, message),
        message=message[:MESSAGE_MAX],
        code=code,
        retry_after_s=response.retry_after_s(),
    )


def _grounds(status: int, code: str, message: str) -> Grounds:
    if code in BY_CODE:
        return BY_CODE[code]
    if status == 401:
        # `invalid_token` does not tell expiry from revocation: a refresh finds out. Without it
        # the account no longer knows the credentials at all.
        known = code == "invalid_token" or not code
        return Grounds.TOKEN_EXPIRED if known else Grounds.TOKEN_REVOKED
    if status == 403 and "required scope" in message:
        return Grounds.SCOPE_MISSING
    return grounds_of_status(status)


def _said(response: Response) -> tuple[str, str]:
    """Return the error's code and sentence from any of the forms."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        is_html = "html" in response.headers.get("content-type", "")
        return "", "" if is_html else response.text().strip()
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("title") or ""), str(error.get("message") or "")
    sentence = body.get("description") or body.get("error_description") or body.get("message")
    return _text(error), _text(sentence) + _details(body.get("details"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _details(details: Any) -> str:
    """Return the sentences of a validation error, field by field."""
    if not isinstance(details, dict):
        return ""
    told = [
        f"{field}: {problem.get('description') or problem.get('error')}"
        for field, problems in details.items()
        if isinstance(problems, list)
        for problem in problems
        if isinstance(problem, dict)
    ]
    return f" ({'; '.join(told)})" if told else ""
