"""Who may speak to a provider: OAuth, tokens, vault, channels."""

from firnline.connections.authorize import AuthorizationStart
from firnline.connections.channel import Channel
from firnline.connections.clients import ClientCredentials, ClientRegistry
from firnline.connections.closed import NeedsReconnectError, NotConnectedError
from firnline.connections.service import Connections
from firnline.connections.vault import Vault

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
