"""`/admin/v1`: connections and their events as JSON, for the builder's own programs."""
