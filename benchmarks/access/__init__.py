"""What access costs: a sales rep beside an administrator in a tenant of a million records."""
