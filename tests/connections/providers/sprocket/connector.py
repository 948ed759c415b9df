"""Sprocket: tells an expired token from a dead one, and a missing scope from both, by category."""

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

BY_CATEGORY = {
    "EXPIRED_AUTHENTICATION": Grounds.TOKEN_EXPIRED,
    "INVALID_AUTHENTICATION": Grounds.TOKEN_EXPIRED,
    "MISSING_SCOPES": Grounds.SCOPE_MISSING,
}


class Sprocket(SmallConnector):
    provider = "sprocket"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/me")
        (answer,) = yield [request]
        me = expect(self, request, answer)
        return Identity("portal-7", "Portal 7", me["id"], me["id"])

    def classify(self, response: Response) -> Verdict:
        category = member(response, "category")
        grounds = BY_CATEGORY.get(category, grounds_of_status(response.status))
        return Verdict(grounds, member(response, "message"))
