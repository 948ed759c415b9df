"""The connector protocol, the registry and the manifest. Connectors live in /connectors."""

from firnline.connectors.protocol import (
    Connector,
    Grounds,
    Identity,
    Page,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
)

__all__ = [
    "Connector",
    "Grounds",
    "Identity",
    "Page",
    "ReadQuery",
    "Request",
    "Response",
    "Steps",
    "Verdict",
]
