"""What the gateway does, for whoever operates it."""
