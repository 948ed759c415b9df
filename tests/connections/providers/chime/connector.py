"""Chime: one envelope for all errors, and a 401 for a missing scope as for a dead token."""

from __future__ import annotations

from collections.abc import Mapping

from tests.connections.small import SmallConnector, member

from firnline.connectors.protocol import (
    Grounds,
    Identity,
    Request,
    Response,
    Steps,
    Verdict,
    expect,
    grounds_of_status,
)


class Chime(SmallConnector):
    provider = "chime"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/me")
        (answer,) = yield [request]
        me = expect(self, request, answer)
        return Identity("company-17", "Company 17", me["id"], me["id"])

    def classify(self, response: Response) -> Verdict:
        said = member(response, "errors")
        if response.status == 401 and "scope" in said:
            return Verdict(Grounds.SCOPE_MISSING, said)
        return Verdict(grounds_of_status(response.status), said)
