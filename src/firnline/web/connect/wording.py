"""What the connect pages say: states and refusals in words for people who never saw Firnline.

Takes statuses and errors; the templates receive sentences. Nothing here names a command or a
setting: whoever reads it may have neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from firnline.connections.statuses import ConnectionStatus
from firnline.errors import FirnlineError
from firnline.transport.errors import provider_text

Tone = Literal["good", "warn", "bad", "plain"]

# What only the people who run the installation can put right.
_OURS = frozenset(
    {
        "client_missing",
        "client_username_missing",
        "client_key_invalid",
        "client_refused",
        "scope_refused",
        "client_is_nobody",
        "connection_settings",
        "unknown_auth_flow",
        "forbidden_host",
        "vault_key_invalid",
    }
)
# What says enough by itself, with its next step.
_PLAIN = frozenset(
    {
        "connect_link_invalid",
        "connect_link_used",
        "connect_session",
        "connect_form",
        "connect_closed",
        "other_browser",
        "not_found",
    }
)
_DONE: Mapping[str, tuple[tuple[str, ...], str]] = {
    # what was done -> the states in which that is true, and the sentence
    "connected": (("active", "expiring"), "{title} is connected."),
    "disconnected": (("revoked",), "{title} is disconnected."),
    "discarded": ((), "{title} was not connected: you said it was not the right account."),
}


@dataclass(frozen=True, slots=True)
class StateWords:
    """A state as its label, what it means for the reader, and how it looks."""

    label: str
    meaning: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong, and what the reader can do about it."""

    heading: str
    text: str
    advice: str
    said: str = ""  # by the provider


def state_words(status: ConnectionStatus | None, title: str) -> StateWords:
    """Return the words for a connection's state; None: nobody connected it."""
    if status is None:
        return StateWords("Not connected", f"Nobody has connected {title} yet.", "plain")
    return {
        "active": StateWords("Connected", "It works.", "good"),
        "expiring": StateWords(
            "Connected, ends soon", "Connect it again before it ends, and nothing stops.", "warn"
        ),
        "needs_reconnect": StateWords(
            "Sign-in needed", f"{title} does not accept the connection any more.", "bad"
        ),
        "revoked": StateWords("Disconnected", "It was disconnected on purpose.", "plain"),
        "disabled": StateWords(
            "Switched off", "It was switched off by the people who sent you the link.", "warn"
        ),
        "pending": StateWords(
            "Not confirmed", "Somebody signed in, but the account was not confirmed.", "warn"
        ),
    }[status.state]


def done_words(done: str, status: ConnectionStatus | None, title: str) -> str:
    """Return what was just done, if that is so: an address alone must not make a page say it."""
    states, sentence = _DONE.get(done, ((), ""))
    if states and (status is None or status.state not in states):
        return ""
    return sentence.format(title=title)


def trouble_words(error: FirnlineError, title: str) -> Trouble:
    """Return what an error means to whoever connects a system; `title` may be empty."""
    system = title or "The system"
    if error.code in _PLAIN:
        return Trouble("That did not work", _sentence(error.message), error.hint)
    if error.code == "unknown_connection":
        return Trouble(
            "There is no such system here", "This link is not for it.", "Go back to the list."
        )
    if error.code == "authorization_invalid":
        return Trouble(
            "This sign-in is not valid any more",
            "It took too long, was used before, or did not start here. Nothing was connected.",
            "Go back to the list and start again.",
        )
    if error.code in ("entry_fields", "body_too_large", "malformed_request"):
        return Trouble(
            "Something is missing or does not look right",
            "A field is empty, too long, or does not look like what it asks for.",
            "Copy each value again, whole and without what stands around it.",
        )
    if error.code == "credentials_refused":
        # What the provider said may quote what was entered.
        return Trouble(
            "That was not accepted",
            f"{system} does not take what was entered. Nothing was kept.",
            "Check it there, then enter it again.",
        )
    if error.code == "other_account":
        return Trouble(
            "This is not your organisation's account",
            f"You signed in to another {system} account than the one that is connected.",
            "Sign in to your organisation's account instead. Nothing was connected.",
        )
    if error.code in ("provider_forbidden", "provider_scope_missing"):
        return Trouble(
            f"{system} did not allow enough",
            "It knows you, but a permission is missing. Nothing was connected.",
            f"Ask whoever manages {system} for it, or use an account or key that has it.",
            said=error.message,
        )
    if error.code in _OURS:
        return Trouble(
            f"{system} cannot be connected yet",
            "Something on our side has to be set up first. It is not your fault.",
            "Tell the people who sent you the link, with the code below.",
        )
    if error.code in ("provider_unreachable", "provider_timeout") or error.retryable:
        return Trouble(
            f"{system} does not answer now",
            "Nothing was changed.",
            "Try again in a few minutes.",
        )
    return Trouble(
        f"{system} refused the connection",
        "Nothing was connected.",
        "Start again. If it happens twice, tell the people who sent you the link.",
        said=error.message,
    )


def refusal_words(answer: Mapping[str, str], title: str) -> Trouble:
    """Return what a provider's answer without a code means."""
    said = provider_text(answer.get("error_description", ""))
    if answer.get("error") == "access_denied":
        return Trouble(
            f"{title} was not connected",
            "The sign-in was cancelled, or the account you used may not allow it.",
            "Start again if you did not mean to, or sign in with an account that may.",
            said=said,
        )
    return Trouble(
        f"{title} was not connected",
        f"{title} could not finish the sign-in.",
        "Start again. If it happens twice, tell the people who sent you the link.",
        said=said,
    )


def moment_words(moment: datetime | None) -> str:
    """Return a time as people read it, in UTC: the reader's zone is not known."""
    return "" if moment is None else f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."
