"""The demo: two tenants, three systems, one question."""
