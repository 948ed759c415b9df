"""How access tokens are obtained, renewed and ended: one module per way to sign in.

`Flows` takes a connection's site and gives a `TokenSet`; the connect command, the pages and the
stored tokens ask it and nobody else speaks to token endpoints.
"""

from firnline.connections.flows.flow import Flow, FlowTools, Given
from firnline.connections.flows.flows import Flows

__all__ = ["Flow", "FlowTools", "Flows", "Given"]
