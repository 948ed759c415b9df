"""Why a connection cannot be used now, and what would open it.

Raised by stored tokens and by what changes connections; syncs, requests and the CLI tell it on.
"""

from __future__ import annotations

from firnline.connections.site import Site
from firnline.errors import FirnlineError
from firnline.state import ConnectionRow


class ConnectionClosedError(FirnlineError):
    """The connection cannot be used now."""

    code = "connection_closed"
    status = 409


class NotConnectedError(ConnectionClosedError):
    """Nobody has connected this system yet."""

    code = "not_connected"

    def __init__(self, site: Site) -> None:
        super().__init__(
            f"{site.destination.label} is not connected", hint=f"Run: {connect_command(site)}"
        )


class NeedsReconnectError(ConnectionClosedError):
    """The authorisation is no longer valid; a person must connect the system again."""

    code = "needs_reconnect"

    def __init__(self, site: Site, reason: str) -> None:
        super().__init__(
            f"{site.destination.label} must be connected again: {reason}",
            hint=f"Run: {connect_command(site)}",
        )


class ConnectionPendingError(ConnectionClosedError):
    """Somebody signed in, and nobody has confirmed yet that it is the right account."""

    code = "connection_pending"

    def __init__(self, site: Site) -> None:
        super().__init__(
            f"{site.destination.label} waits for somebody to confirm its account",
            hint="Look at the account's name where it was connected, and confirm it.",
        )


class ConnectionRevokedError(ConnectionClosedError):
    """The connection was ended here on purpose."""

    code = "connection_revoked"

    def __init__(self, site: Site, reason: str) -> None:
        because = f": {reason}" if reason else ""
        super().__init__(
            f"{site.destination.label} was disconnected{because}",
            hint=f"To use it again, run: {connect_command(site)}",
        )


class ConnectionDisabledError(ConnectionClosedError):
    """The connection was switched off on purpose."""

    code = "connection_disabled"

    def __init__(self, site: Site, reason: str) -> None:
        because = f": {reason}" if reason else ""
        super().__init__(
            f"{site.destination.label} is disabled{because}",
            hint=f"Its authorisation is kept; to use it again, run: {enable_command(site)}",
        )


def connect_command(site: Site) -> str:
    """Return the command that connects a system."""
    return f"firnline connect {_whole_name(site)}"


def enable_command(site: Site) -> str:
    """Return the command that switches a connection on again."""
    return f"firnline connections enable {_whole_name(site)}"


def _whole_name(site: Site) -> str:
    whose = f" --person {site.person}" if site.person else ""
    return f"{site.tenant} {site.name}{whose}"


def closed_by(site: Site, row: ConnectionRow | None) -> ConnectionClosedError | None:
    """Return why a stored connection cannot be used at `site`, None when it can."""
    if row is None:
        return NotConnectedError(site)
    if row.state == "revoked":
        return ConnectionRevokedError(site, row.state_reason)
    if row.state == "pending":
        return ConnectionPendingError(site)
    if row.state == "disabled":
        return ConnectionDisabledError(site, row.state_reason)
    if row.state == "needs_reconnect":
        return NeedsReconnectError(site, row.state_reason)
    if row.token_ciphertext is None:
        return NotConnectedError(site)
    why = changed_since(site, row)
    return NeedsReconnectError(site, why) if why else None


def changed_since(site: Site, row: ConnectionRow) -> str:
    """Return what the declaration says otherwise than when the connection was made, "" if nothing.

    Its token belongs to another account then: it must never be sent to this one.
    """
    if (row.provider, dict(row.settings)) != (site.connector.provider, dict(site.settings)):
        return "its settings changed since it was connected"
    if row.flow and row.flow != site.auth.flow:
        return f"it was connected by {row.flow}, and is declared to sign in by {site.auth.flow}"
    return ""
