"""Bazaar: every answer is a 200; what it means stands inside."""

from __future__ import annotations

from collections.abc import Mapping

from tests.connections.small import SmallConnector

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

BY_CODE = {
    "601": Grounds.TOKEN_EXPIRED,
    "602": Grounds.TOKEN_EXPIRED,
    "603": Grounds.FORBIDDEN,
    "606": Grounds.RATE_LIMITED,
}


class Bazaar(SmallConnector):
    provider = "bazaar"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/rest/v1/me")
        (answer,) = yield [request]
        me = expect(self, request, answer)["result"]
        return Identity(settings["instance"], settings["instance"], me["id"], me["id"])

    def refused(self, response: Response) -> bool:
        return response.status != 200 or response.json().get("success") is not True

    def classify(self, response: Response) -> Verdict:
        if response.status != 200:
            return Verdict(grounds_of_status(response.status))
        error = response.json()["errors"][0]
        return Verdict(BY_CODE.get(error["code"], Grounds.UNKNOWN), error["message"])
