"""Redirects: where a provider's answer sends a call, and whether it goes there.

Takes the hop that was answered and the answer; `wire` sends the next hop. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from firnline.transport.address import AddressRefused, origin_of

REDIRECTS_MAX = 5
_ANY_METHOD = frozenset({307, 308})  # the ones that keep method and body
_REDIRECTS = frozenset({301, 302, 303}) | _ANY_METHOD
_READS = frozenset({"GET", "HEAD"})


class RedirectRefused(Exception):
    """A redirect that is not followed; the text says why and is safe to show."""


class RedirectElsewhere(RedirectRefused):
    """A redirect away from the connection's origin, where its authorisation must not go."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a call: the first goes where the call does, later ones where answers say."""

    method: str
    url: str
    is_first: bool = False


def next_hop(hop: Hop, status: int, headers: Mapping[str, str], *, repeatable: bool) -> Hop | None:
    """Return where to go on, None when the answer is no redirect; raises RedirectRefused."""
    location = headers.get("location", "")
    if status not in _REDIRECTS or not location:
        return None
    if hop.method not in _READS and not (repeatable and status in _ANY_METHOD):
        raise RedirectRefused(f"a {hop.method} is not sent elsewhere")
    try:
        url = urljoin(hop.url, location)
        is_own = origin_of(url) == origin_of(hop.url)
    except (ValueError, AddressRefused):
        raise RedirectElsewhere("it leads to no address that can be called") from None
    if not is_own:
        raise RedirectElsewhere("it leads to another origin")
    return Hop(hop.method, url.partition("#")[0])
