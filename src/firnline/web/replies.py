"""Replies that were sent before, found again by the bytes of the request alone.

Takes a request's person, form and content; the edge receives the reply without the request being
read again, while the gateway vouches for the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass

from firnline.access.principal import Principal
from firnline.recent import Recent
from firnline.web.gateway import Again

REPLIES_MAX = 4096
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class KnownReply:
    """How an answer was sent; its body is the gateway's. `tag` is empty where clients keep none."""

    again: Again
    headers: Headers
    tag: str = ""


class KnownReplies:
    """The last replies that may be repeated; the least used are forgotten first."""

    def __init__(self, replies_max: int = REPLIES_MAX) -> None:
        self._known: Recent[Hashable, KnownReply] = Recent(replies_max)

    def find(self, slot: Hashable) -> tuple[KnownReply, bytes] | None:
        """Return a reply with its body, None where the request has to be answered."""
        known = self._known.get(slot)
        if known is None:
            return None
        body = known.again.body()
        if body is None:
            self._known.drop(slot)
            return None
        return known, body

    def remember(self, slot: Hashable, reply: KnownReply) -> None:
        """Keep how a request was replied to."""
        self._known.put(slot, reply)


def slot_of(principal: Principal, method: str, media: str, content: bytes) -> Hashable:
    """Return what tells a request from all others that could be answered differently."""
    # Each repetition is recorded with the key that asked; tokens of one person come and go.
    key = principal.credential if principal.credential.startswith("key:") else ""
    # A digest: thousands of contents of up to 64 KB would be a cache of their own.
    return principal, key, method, media, hashlib.blake2b(content, digest_size=32).digest()
