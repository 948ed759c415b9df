"""Durable facts about tenants: connections, catalogs, operations (SQLAlchemy)."""
