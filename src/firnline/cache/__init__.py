"""DuckDB, one file per tenant: the only SQL text of the project."""
