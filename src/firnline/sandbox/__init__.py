"""Runs the providers' sandboxes: real HTTP servers with seeded tenants and switchable faults."""
