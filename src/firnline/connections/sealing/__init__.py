"""Keys and what they seal: data keys per tenant, the master keyring, rotation."""
