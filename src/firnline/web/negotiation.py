"""Chooses the media type of a GraphQL response from the Accept header.

Follows the GraphQL-over-HTTP draft: `application/graphql-response+json` carries the true status,
`application/json` is for older clients and answers a well-formed request with 200.
"""

from __future__ import annotations

from functools import lru_cache

from firnline.web.refusals import EVENT_MEDIA, GRAPHQL_MEDIA, JSON_MEDIA, NotAcceptableError

# What a wildcard or an absent header means: clients that say nothing are the older ones.
_WILDCARDS = frozenset({"*/*", "application/*"})
_RANGES_MAX = 32
_KEPT_MAX = 128
_KEPT_LENGTH_MAX = 256


def choose_media(accept: str) -> str:
    """Return the offered media type that `accept` prefers; raise `NotAcceptableError` if none."""
    return _choose_known(accept) if len(accept) <= _KEPT_LENGTH_MAX else _choose(accept)


def takes_events(accept: str) -> bool:
    """Say whether the client names the media type of event streams, as one that it takes."""
    # No wildcard means a stream: those clients wait for an end.
    return EVENT_MEDIA in accept.lower() and any(
        media == EVENT_MEDIA and weight > 0 and is_utf8
        for media, weight, is_utf8 in _ranges(accept)
    )


def _choose(accept: str) -> str:
    if not accept.strip():
        return JSON_MEDIA
    quality = dict.fromkeys((GRAPHQL_MEDIA, JSON_MEDIA), 0.0)
    named: set[str] = set()
    for media, weight, is_utf8 in _ranges(accept):
        if media in quality and is_utf8:
            named.add(media)
            quality[media] = weight
        elif media in _WILDCARDS and JSON_MEDIA not in named:
            quality[JSON_MEDIA] = max(weight, quality[JSON_MEDIA])
    # max() keeps the first on a tie: the GraphQL media type.
    best = max(quality, key=lambda media: quality[media])
    if quality[best] <= 0:
        raise NotAcceptableError
    return best


# Clients send the same few headers over and over.
_choose_known = lru_cache(maxsize=_KEPT_MAX)(_choose)


def _ranges(accept: str) -> list[tuple[str, float, bool]]:
    """Return (media type, weight, whether UTF-8 is fine) for each listed range."""
    ranges = []
    for part in accept.split(",")[:_RANGES_MAX]:
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        settings = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        charset = settings.get("charset", "utf-8").strip('"')
        ranges.append((media, _weight(settings.get("q", "1")), charset in {"utf-8", "utf8"}))
    return ranges


def _weight(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
