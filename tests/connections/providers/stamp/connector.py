"""Stamp: tells by the error's category whether a key is dead, or may not do something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

BY_CATEGORY = {
    "REVOKED_AUTHENTICATION": Grounds.TOKEN_REVOKED,
    "MISSING_SCOPES": Grounds.SCOPE_MISSING,
}


class Stamp(SmallConnector):
    provider = "stamp"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/me")
        (answer,) = yield [request]
        me = expect(self, request, answer)
        return Identity(settings["office"], f"Office {settings['office']}", me["id"], me["name"])

    def classify(self, response: Response) -> Verdict:
        grounds = grounds_of_status(response.status)
        try:
            said: Any = response.json()
            return Verdict(BY_CATEGORY.get(said.get("category"), grounds), said["message"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return Verdict(grounds)
