"""Who may speak to a provider: OAuth, tokens, vault."""
