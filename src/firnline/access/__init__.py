"""Who may see what: principals, mirrored source permissions, row filters, masks."""
