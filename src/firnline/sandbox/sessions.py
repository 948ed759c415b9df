"""Login sessions of a sandbox, as providers with session cookies keep them.

Takes cookies and users from a provider's sandbox and says whose session a call belongs to. A
session ends when nobody used it for a while; a licence may bound how many there are. It knows
nothing of any client.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from firnline.clock import Clock


@dataclass(slots=True)
class ServerSession:
    """One session: who logged in, on which node, and when it was used last."""

    key: str = field(repr=False)
    user: str
    node: str
    used_at: float


class ServerSessions:
    """The sessions of one server. `sessions_max` is its licence; None: any number."""

    def __init__(
        self, *, clock: Clock, idle_s: float, sessions_max: int | None = None, nodes: int = 3
    ) -> None:
        self.idle_s = idle_s
        self.sessions_max = sessions_max
        self.opened = 0
        self._clock = clock
        self._nodes = nodes
        self._sessions: dict[str, ServerSession] = {}

    def __len__(self) -> int:
        self._sweep()
        return len(self._sessions)

    def open(self, user: str) -> ServerSession | None:
        """Begin a session; None when the licence has no place left."""
        self._sweep()
        if self.sessions_max is not None and len(self._sessions) >= self.sessions_max:
            return None
        node = f".node{self.opened % self._nodes + 1}"
        self.opened += 1
        key = secrets.token_hex(16)
        opened = ServerSession(key, user, node, self._clock.monotonic())
        self._sessions[key] = opened
        return opened

    def used(self, key: str) -> ServerSession | None:
        """Return the live session of that key and count it as used now."""
        self._sweep()
        session = self._sessions.get(key)
        if session is not None:
            session.used_at = self._clock.monotonic()
        return session

    def close(self, key: str) -> bool:
        """End a session; say whether there was one."""
        self._sweep()
        return self._sessions.pop(key, None) is not None

    def close_all(self) -> None:
        """End every session, as a restart does."""
        self._sessions.clear()

    def _sweep(self) -> None:
        idle_since = self._clock.monotonic() - self.idle_s
        self._sessions = {
            key: session for key, session in self._sessions.items() if session.used_at > idle_since
        }


def cookies_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the cookies that a call carries."""
    pairs = (part.partition("=") for part in headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
