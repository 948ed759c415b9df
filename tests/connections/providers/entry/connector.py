"""Entry: a dead token is answered by a 401 without a body."""

from __future__ import annotations

from collections.abc import Mapping

from tests.connections.small import SmallConnector

from firnline.connectors.protocol import (
    Identity,
    Request,
    Response,
    Steps,
    Verdict,
    expect,
    grounds_of_status,
)


class Entry(SmallConnector):
    provider = "entry"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/me")
        (answer,) = yield [request]
        me = expect(self, request, answer)
        return Identity(settings["org"], settings["org"], me["id"], me["id"])

    def classify(self, response: Response) -> Verdict:
        return Verdict(grounds_of_status(response.status))
