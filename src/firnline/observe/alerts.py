"""What somebody has to look at, in words for whoever is called at night.

Takes changes of connections' states; the log and the builder's webhook receive alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from firnline.state.rows import ConnectionEvent

# A connection that comes back from one of these ends the alert that told of it.
_TROUBLE = {
    "needs_reconnect": "must be connected again",
    "expiring": "ends soon and cannot be renewed",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that happened. `kind` is stable; `number` tells it from all others, in order."""

    number: int
    kind: str
    tenant: str
    connection: str
    provider: str
    person: str
    state: str
    reason: str
    at: datetime
    is_over: bool = False

    @property
    def id(self) -> str:
        """Return what receivers know a repetition by."""
        return f"alert_{self.number}"

    @property
    def summary(self) -> str:
        """Return one sentence that says what happened to which connection."""
        whose = f" of {self.person}" if self.person else ""
        subject = f"{self.provider} (connection {self.connection!r}{whose} at {self.tenant!r})"
        what = "works again" if self.is_over else _TROUBLE[self.state]
        return f"{subject} {what}" + (f": {self.reason}" if self.reason else "")

    @property
    def next_step(self) -> str:
        """Return what to do about it, empty where nothing is left to do."""
        if self.is_over:
            return ""
        whose = f" --person {self.person}" if self.person else ""
        return f"firnline connect {self.tenant} {self.connection}{whose}"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        told = {
            "tenant": self.tenant,
            "connection": self.connection,
            "provider": self.provider,
            "state": self.state,
            "reason": self.reason,
            "summary": self.summary,
        }
        if self.person:
            told["person"] = self.person
        if self.next_step:
            told["next_step"] = self.next_step
        moment = self.at.isoformat().replace("+00:00", "Z")
        return {"type": self.kind, "timestamp": moment, "data": told}


def alert_of(event: ConnectionEvent) -> Alert | None:
    """Return the alert that a change of state is worth, None where nobody need look."""
    is_over = event.state == "active" and event.before in _TROUBLE
    if event.state not in _TROUBLE and not is_over:
        return None
    return Alert(
        number=event.number,
        kind=f"connection.{'restored' if is_over else event.state}",
        tenant=event.tenant,
        connection=event.name,
        provider=event.provider,
        person=event.person,
        state=event.state,
        reason=event.reason,
        at=event.at,
        is_over=is_over,
    )
