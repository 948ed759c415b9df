"""A person's way to a connection: links, the provider's sign-in, the account that is confirmed."""
