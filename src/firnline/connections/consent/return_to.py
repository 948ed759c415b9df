"""Where people may be led after connecting: addresses on the operator's list, and no others.

Takes the address that a link asks for; the connect pages receive it only when its origin and path
are on the list, letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from firnline.errors import UsageError

LENGTH_MAX = 1_000
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# What an address may hold at all: no backslash, space or control character, which browsers read
# in other ways than parsers do.
_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?\[\]!$&'()*+,;=%]+")
_PORTS = {"https": 443, "http": 80}


class ReturnToRefusedError(UsageError):
    """A link asks to lead to an address that is not on the list."""

    code = "return_to"

    def __init__(self) -> None:
        super().__init__(
            "the address to return to is not on the list",
            hint="Add it to FIRNLINE_RETURN_TO, with its whole path; only its query may vary.",
        )


def checked_return(address: str, listed: Sequence[str]) -> str:
    """Return `address` when its origin and path are listed; raises ReturnToRefusedError."""
    place = place_of(address)
    if place is None or place not in {place_of(each) for each in listed}:
        raise ReturnToRefusedError
    return address


def with_outcome(address: str, outcome: Mapping[str, str]) -> str:
    """Return `address` with what became of the connection in its query."""
    parts = urlsplit(address)
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in outcome
    ]
    return parts._replace(query=urlencode([*kept, *outcome.items()])).geturl()


def place_of(address: str) -> tuple[str, str, int, str] | None:
    """Return scheme, host, port and path; None of what nobody may be led to.

    That is everything but https addresses and, for development, http ones of this machine.
    """
    if len(address) > LENGTH_MAX or not _PLAIN.fullmatch(address):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    is_allowed = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not is_allowed or not host or parts.fragment:
        return None
    return parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/"
