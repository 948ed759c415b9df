"""Who may speak to a provider: OAuth, tokens, vault, channels."""

from firnline.connections.channel import Channel
from firnline.connections.clients import ClientCredentials, ClientRegistry
from firnline.connections.closed import NeedsReconnectError, NotConnectedError
from firnline.connections.consent.authorize import AuthorizationStart
from firnline.connections.sealing.vault import Vault
from firnline.connections.service import Connections

__all__ = [
    "AuthorizationStart",
    "Channel",
    "ClientCredentials",
    "ClientRegistry",
    "Connections",
    "NeedsReconnectError",
    "NotConnectedError",
    "Vault",
]
