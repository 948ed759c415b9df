"""What a token endpoint's refusal means: one closed set for all providers' ways to say it.

Takes an answer and the connector's flow; `endpoint` raises what it says. Only words that a provider
is known to use for it are taken for the end of an authorisation: an outage, a proxy's page or an
unknown error never is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from firnline.connectors.auth_flows import OAuth
from firnline.connectors.protocol import ErrorClass, Grounds, Response, Verdict
from firnline.transport import ProviderError
from firnline.transport.errors import provider_text


class Refusal(StrEnum):
    """Why a token endpoint gives no token."""

    GRANT = "grant"  # the code, refresh token or assertion is not taken any more
    CLIENT = "client"  # Firnline's own client is not taken
    SCOPE = "scope"  # what was asked for is not allowed
    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    UNKNOWN = "unknown"


class GrantRefusedError(ProviderError):
    """The provider no longer takes the code, refresh token or assertion."""

    code = "grant_refused"
    error_class = ErrorClass.AUTH_INVALIDATED
    advice = "Connect the system again."


class ClientRefusedError(ProviderError):
    """The provider does not take Firnline's own OAuth client."""

    code = "client_refused"
    error_class = ErrorClass.AUTH_INVALIDATED
    advice = (
        "Check the client id and its secret or key at the provider, then register them again "
        "with firnline connect."
    )


class ScopeRefusedError(ProviderError):
    """The provider does not let the OAuth client ask for what the connector needs."""

    code = "scope_refused"
    error_class = ErrorClass.FORBIDDEN
    advice = "Allow the connector's scopes for the OAuth client at the provider."


# RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect's ways to ask for the person, and what several
# providers say for the same.
STANDARD: Mapping[str, Refusal] = {
    "invalid_grant": Refusal.GRANT,
    "interaction_required": Refusal.GRANT,
    "consent_required": Refusal.GRANT,
    "login_required": Refusal.GRANT,
    "invalid_client": Refusal.CLIENT,
    "invalid_client_id": Refusal.CLIENT,
    "unauthorized_client": Refusal.CLIENT,
    "invalid_scope": Refusal.SCOPE,
    "temporarily_unavailable": Refusal.TRANSIENT,
    "server_error": Refusal.TRANSIENT,
    "slow_down": Refusal.RATE_LIMITED,
}


def refusal_of(auth: OAuth, response: Response) -> Refusal | None:
    """Return why an answer holds no token, None when it is not a refusal."""
    if response.status == 429:
        return Refusal.RATE_LIMITED
    if response.status >= 500 or response.status == 408:
        return Refusal.TRANSIENT  # whatever its body says: it is not the grant that was judged
    answer = answer_of(response)
    if answer is None:
        return Refusal.UNKNOWN
    if 200 <= response.status < 300 and "access_token" in answer:
        return None
    return _said(auth, answer)


def judge(auth: OAuth, response: Response) -> Verdict | None:
    """Return what the transport acts on: outages and limits; other refusals are the endpoint's."""
    refusal = refusal_of(auth, response)
    if refusal is Refusal.RATE_LIMITED:
        return Verdict(Grounds.RATE_LIMITED, said_in(response))
    if refusal is Refusal.TRANSIENT:
        return Verdict(Grounds.UNAVAILABLE, said_in(response))
    return None


def answer_of(response: Response) -> Mapping[str, Any] | None:
    """Return the JSON object of an answer, None when it is something else."""
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def codes_of(response: Response) -> tuple[str, ...]:
    """Return the error codes that an answer holds, whatever it calls them."""
    return tuple(_codes(answer_of(response) or {}))


def said_in(response: Response) -> str:
    """Return a refusal's code and sentence for messages, bounded and without what was shown.

    Its status when it has none.
    """
    answer = answer_of(response) or {}
    code, text = next(_codes(answer), ""), next(_texts(answer), "")
    parts = [text] if text.startswith(code) else [code, text]
    said = response.cut(": ".join(part for part in parts if part))
    return provider_text(said) or str(response.status)


def _said(auth: OAuth, answer: Mapping[str, Any]) -> Refusal:
    """Return what the words of an answer mean: the connector's own first, then the standard's."""
    codes = list(_codes(answer))
    for code in codes:
        if code in auth.refusals:
            return Refusal(auth.refusals[code])
    texts = " ".join(_texts(answer)).casefold()
    for words, meaning in auth.refusals.items():
        if " " in words and words.casefold() in texts:
            return Refusal(meaning)
    return next((STANDARD[code] for code in codes if code in STANDARD), Refusal.UNKNOWN)


def _codes(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield an answer's error codes, the most telling first."""
    for number in _listed(answer.get("error_codes")):
        yield f"AADSTS{number}"  # Microsoft's; `error` beside it is one of few words
    error = answer.get("error")
    named = [error.get("code")] if isinstance(error, Mapping) else [error]
    yield from _words([*named, *(answer.get(each) for each in ("status", "code", "category"))])


def _texts(answer: Mapping[str, Any]) -> Iterator[str]:
    error = answer.get("error")
    inner = error.get("message") if isinstance(error, Mapping) else None
    told = [answer.get("error_description"), inner, answer.get("message")]
    yield from _words([*told, *_listed(answer.get("errors"))])


def _words(values: list[Any]) -> Iterator[str]:
    yield from (value for value in values if isinstance(value, str) and value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
