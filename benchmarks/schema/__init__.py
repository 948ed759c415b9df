"""What schemas cost: time and memory by size, and many tenants on one process."""
