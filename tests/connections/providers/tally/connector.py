"""Tally: a dead token is named in an error object of its own."""

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


class Tally(SmallConnector):
    provider = "tally"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/me")
        (answer,) = yield [request]
        me = expect(self, request, answer)
        return Identity(settings["username"], "Tally", me["id"], me["id"])

    def classify(self, response: Response) -> Verdict:
        return Verdict(grounds_of_status(response.status))
