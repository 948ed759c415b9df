"""The tables of the durable facts, for SQLite and PostgreSQL alike.

Every table of a tenant's facts starts its key with the tenant. Secrets are ciphertext of the
vault; the state of a pending authorization is kept as a digest, so that a copy of this database
finishes no sign-in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy import Column as SqlColumn

SCHEMA_VERSION = 5

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes in, aware UTC datetimes out, also where the database keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, which would silently mean another moment elsewhere."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time must carry its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the zone back where the database dropped it."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _key(name: str) -> SqlColumn[str]:
    return SqlColumn(name, String(200), primary_key=True)


schema_versions = Table(
    "schema_versions", metadata, SqlColumn("version", Integer, primary_key=True)
)


def _connection_facts() -> list[SqlColumn[Any]]:
    return [
        SqlColumn("provider", String(200), nullable=False),
        SqlColumn("settings", Text, nullable=False),
        SqlColumn("state", String(40), nullable=False),
        SqlColumn("state_reason", Text, nullable=False),
        SqlColumn("account", Text, nullable=False),
        SqlColumn("account_name", Text, nullable=False),
        SqlColumn("user_key", Text, nullable=False),
        SqlColumn("user_name", Text, nullable=False),
        SqlColumn("token_ciphertext", LargeBinary),
        SqlColumn("expires_at", UtcDateTime),
        SqlColumn("updated_at", UtcDateTime, nullable=False),
        SqlColumn("version", Integer, nullable=False),
        *connection_facts_of_version_5(),
    ]


def connection_facts_of_version_5() -> list[SqlColumn[Any]]:
    """Return what schema version 5 added to the facts about a connection."""
    return [
        SqlColumn("state_at", UtcDateTime),
        SqlColumn("flow", String(40), nullable=False, server_default=""),
        SqlColumn("scopes", Text, nullable=False, server_default="[]"),
        SqlColumn("ends_at", UtcDateTime),
        SqlColumn("renewal_began_at", UtcDateTime),
        SqlColumn("renewal_error", Text, nullable=False, server_default=""),
    ]


connections = Table("connections", metadata, _key("tenant"), _key("name"), *_connection_facts())

# What single people connected for themselves, beside the organisation's own connections.
personal_connections = Table(
    "personal_connections",
    metadata,
    _key("tenant"),
    _key("name"),
    SqlColumn("person", String(300), primary_key=True),
    *_connection_facts(),
)

# Changes of connections' states over all tenants. Numbers are given in the order of the commits,
# without gaps: whoever gives one holds the counter's row until the commit.
connection_events = Table(
    "connection_events",
    metadata,
    SqlColumn("number", BigInteger, primary_key=True, autoincrement=False),
    SqlColumn("tenant", String(200), nullable=False),
    SqlColumn("name", String(200), nullable=False),
    SqlColumn("person", String(300), nullable=False),
    SqlColumn("provider", String(200), nullable=False),
    SqlColumn("before", String(40), nullable=False),
    SqlColumn("state", String(40), nullable=False),
    SqlColumn("reason", Text, nullable=False),
    SqlColumn("at", UtcDateTime, nullable=False),
)
Index("connection_events_by_tenant", connection_events.c.tenant, connection_events.c.number)
Index("connection_events_by_time", connection_events.c.at)

EVENTS = "connection_events"  # the counter of their numbers
counters = Table(
    "counters",
    metadata,
    SqlColumn("name", String(40), primary_key=True),
    SqlColumn("last", BigInteger, nullable=False),
)

# Who alone may do something for a while. The fence grows whenever another one takes it.
leases = Table(
    "leases",
    metadata,
    SqlColumn("name", String(600), primary_key=True),
    SqlColumn("holder", String(200), nullable=False),
    SqlColumn("fence", BigInteger, nullable=False),
    SqlColumn("ends_at", UtcDateTime, nullable=False),
)

catalogs = Table(
    "catalogs",
    metadata,
    _key("tenant"),
    _key("connection"),
    SqlColumn("version", Integer, primary_key=True, autoincrement=False),
    SqlColumn("fingerprint", String(64), nullable=False),
    SqlColumn("content", Text, nullable=False),
    SqlColumn("discovered_at", UtcDateTime, nullable=False),
)

# Every version that was ever published; the one that is not retired is what the id names.
operations = Table(
    "operation_versions",
    metadata,
    _key("tenant"),
    _key("operation_id"),
    SqlColumn("version", Integer, primary_key=True, autoincrement=False),
    SqlColumn("name", Text, nullable=False),
    SqlColumn("text", Text, nullable=False),
    SqlColumn("published_at", UtcDateTime, nullable=False),
    SqlColumn("retired_at", UtcDateTime),
)

# Who asked an operation lately: a few people of different rights, for whom it is planned ahead.
# Of a person that is the e-mail address with agent, purpose and scopes of the token; `shape` and
# `scopes` are JSON.
askers = Table(
    "operation_askers",
    metadata,
    _key("tenant"),
    _key("operation_id"),
    SqlColumn("digest", String(64), primary_key=True),
    SqlColumn("email", String(300), nullable=False),
    SqlColumn("agent", Text, nullable=False),
    SqlColumn("purpose", Text, nullable=False),
    SqlColumn("scopes", Text, nullable=False),
    SqlColumn("shape", Text, nullable=False),
    SqlColumn("asked_at", UtcDateTime, nullable=False),
)

authorizations = Table(
    "authorizations",
    metadata,
    _key("tenant"),
    _key("state_digest"),
    SqlColumn("connection", String(200), nullable=False),
    SqlColumn("provider", String(200), nullable=False),
    SqlColumn("settings", Text, nullable=False),
    SqlColumn("redirect_uri", Text, nullable=False),
    SqlColumn("verifier_ciphertext", LargeBinary, nullable=False),
    SqlColumn("expires_at", UtcDateTime, nullable=False),
)
Index("authorizations_by_digest", authorizations.c.state_digest, unique=True)

clients = Table(
    "clients",
    metadata,
    _key("tenant"),
    _key("provider"),
    _key("connection"),
    SqlColumn("ciphertext", LargeBinary, nullable=False),
    SqlColumn("updated_at", UtcDateTime, nullable=False),
)

# What was read, one entry after the other: each holds the digest of the one before it. `head` of a
# chain is its last entry; `anchor` is the last one that was let go, whose digest the first that is
# kept holds.
audit_entries = Table(
    "audit_entries",
    metadata,
    _key("tenant"),
    SqlColumn("number", Integer, primary_key=True, autoincrement=False),
    SqlColumn("at", UtcDateTime, nullable=False),
    SqlColumn("person", String(300), nullable=False),
    SqlColumn("content", Text, nullable=False),
    SqlColumn("previous", String(64), nullable=False),
    SqlColumn("digest", String(64), nullable=False),
)
Index("audit_entries_by_person", audit_entries.c.tenant, audit_entries.c.person)

audit_chains = Table(
    "audit_chains",
    metadata,
    _key("tenant"),
    SqlColumn("head_number", Integer, nullable=False),
    SqlColumn("head_digest", String(64), nullable=False),
    SqlColumn("anchor_number", Integer, nullable=False),
    SqlColumn("anchor_digest", String(64), nullable=False),
    SqlColumn("seal", String(64), nullable=False),
)


# The keys that secrets are sealed with, each wrapped with a master key that is not in here. A
# tenant's newest `seal` key seals; older ones open what they sealed. The one `derive` key belongs
# to the installation: its `master` names the master key that new keys are wrapped with.
data_keys = Table(
    "data_keys",
    metadata,
    _key("tenant"),
    SqlColumn("purpose", String(20), primary_key=True),
    SqlColumn("version", Integer, primary_key=True, autoincrement=False),
    SqlColumn("master", String(64), nullable=False),
    SqlColumn("wrapped", LargeBinary, nullable=False),
    SqlColumn("made_at", UtcDateTime, nullable=False),
)

# Connect links in use, and by which browser: digests, until the link runs out.
connect_links = Table(
    "connect_links",
    metadata,
    _key("tenant"),
    SqlColumn("link", String(64), primary_key=True),
    SqlColumn("browser", String(64), nullable=False),
    SqlColumn("expires_at", UtcDateTime, nullable=False),
)

# API keys for programs. "*" as the tenant: of the whole installation. Of a secret only its digest
# is kept; ids are unique over all tenants, since a key is found by its id alone.
api_keys = Table(
    "api_keys",
    metadata,
    _key("tenant"),
    SqlColumn("key_id", String(16), primary_key=True),
    SqlColumn("digest", String(64), nullable=False),
    SqlColumn("name", String(200), nullable=False),
    SqlColumn("person", String(300), nullable=False),
    SqlColumn("agent", String(200), nullable=False),
    SqlColumn("scopes", Text, nullable=False),
    SqlColumn("created_at", UtcDateTime, nullable=False),
    SqlColumn("expires_at", UtcDateTime),
    SqlColumn("revoked_at", UtcDateTime),
    SqlColumn("used_at", UtcDateTime),
)
Index("api_keys_by_id", api_keys.c.key_id, unique=True)
