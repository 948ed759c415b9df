"""Durable facts about tenants: SQLite in home by default, PostgreSQL when there are many nodes."""

from firnline.state.connections import Soon, StaleRowError
from firnline.state.database import StateUnavailableError
from firnline.state.rows import (
    AuthorizationRow,
    ClientRow,
    ConnectionEvent,
    ConnectionRow,
    ConnectionState,
    OperationRow,
)
from firnline.state.state import State, operation_id_of

__all__ = [
    "AuthorizationRow",
    "ClientRow",
    "ConnectionEvent",
    "ConnectionRow",
    "ConnectionState",
    "OperationRow",
    "Soon",
    "StaleRowError",
    "State",
    "StateUnavailableError",
    "operation_id_of",
]
