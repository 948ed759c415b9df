"""What a tenant has: the objects and fields that discovery found, and how they map."""
