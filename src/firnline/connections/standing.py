"""How long an authorisation lasts: whether it can be renewed, and when it ends for good.

Pure: takes tokens and the way they were obtained; whoever stores tokens stores what this says.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from firnline.connections.endpoint import TokenSet
from firnline.connections.site import Site
from firnline.connectors.auth_flows import ApiKey, AuthorizationCode, Basic
from firnline.state import ConnectionState

EXPIRING_AHEAD = timedelta(days=7)
LEEWAY_MAX = timedelta(seconds=60)
LEEWAY_SHARE = 10  # a token is renewed when less than a tenth of its life is left
KEPT_AHEAD = timedelta(minutes=5)
KEPT_SHARE = 5  # renewed behind everybody's back somewhat earlier
_MOVED = timedelta(minutes=1)


def can_renew(site: Site, tokens: TokenSet) -> bool:
    """Say whether the provider can be asked for other tokens without a person."""
    if isinstance(site.auth, AuthorizationCode):
        return tokens.refresh_token is not None
    return not isinstance(site.auth, ApiKey | Basic)


def ends_at(site: Site, tokens: TokenSet) -> datetime | None:
    """Return when the authorisation ends for good, as far as that is known."""
    return tokens.refresh_expires_at if can_renew(site, tokens) else tokens.expires_at


def standing(
    site: Site, tokens: TokenSet, *, before: TokenSet | None, now: datetime
) -> tuple[ConnectionState, str]:
    """Return the state of a connection with `tokens`, renewed from those `before`, and why.

    An end that a renewal moves on is none; before the first renewal it counts as one that moves.
    """
    ends = ends_at(site, tokens)
    if ends is None or ends - now > EXPIRING_AHEAD:
        return "active", ""
    if can_renew(site, tokens):
        known = None if before is None else before.refresh_expires_at
        if known is None or ends - known > _MOVED:
            return "active", ""
    return "expiring", f"it ends on {moment(ends)}, unless it is connected again"


def is_due(tokens: TokenSet, now: datetime) -> bool:
    """Say whether a token is to be renewed before it is used."""
    return _left(tokens, now, LEEWAY_MAX, LEEWAY_SHARE)


def is_due_unasked(tokens: TokenSet, now: datetime) -> bool:
    """Say whether a token is to be renewed although nobody wants to use it."""
    return _left(tokens, now, KEPT_AHEAD, KEPT_SHARE)


def is_lately(at: datetime, pause: timedelta, now: datetime) -> bool:
    """Say whether something was less than `pause` ago; a clock that was set may put it ahead."""
    return abs(now - at) < pause


def moment(at: datetime) -> str:
    """Return a time as reasons name it."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _left(tokens: TokenSet, now: datetime, ahead: timedelta, share: int) -> bool:
    """Say whether no more than `ahead` is left of a token, or than a share of its life."""
    if tokens.expires_at is None:
        return False
    return now >= tokens.expires_at - min(ahead, (tokens.expires_at - tokens.issued_at) / share)
