"""The connector protocol, the registry and the manifest. Connectors live in /connectors."""

from firnline.connectors.protocol import (
    Connector,
    ErrorClass,
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
    "ErrorClass",
    "Grounds",
    "Identity",
    "Page",
    "ReadQuery",
    "Request",
    "Response",
    "Steps",
    "Verdict",
]
