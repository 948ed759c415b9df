"""Durable facts about tenants: SQLite in home by default, PostgreSQL when there are many nodes."""

from firnline.state.rows import AuthorizationRow, ClientRow, ConnectionRow, OperationRow
from firnline.state.state import StaleRowError, State, operation_id_of

__all__ = [
    "AuthorizationRow",
    "ClientRow",
    "ConnectionRow",
    "OperationRow",
    "StaleRowError",
    "State",
    "operation_id_of",
]
