"""Punch: judges answers as a Service Layer gives them."""

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

SESSION_GONE = "301"


class Punch(SmallConnector):
    provider = "punch"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/b1s/v2/Me")
        (answer,) = yield [request]
        me = expect(self, request, answer)
        return Identity(settings["company"], settings["company"], me["UserCode"], me["UserName"])

    def classify(self, response: Response) -> Verdict:
        try:
            error: Any = response.json()["error"]
        except (ValueError, KeyError, TypeError):
            return Verdict(grounds_of_status(response.status))
        grounds = grounds_of_status(response.status)
        if response.status == 401 and str(error["code"]) != SESSION_GONE:
            grounds = Grounds.TOKEN_REVOKED
        return Verdict(grounds, error["message"], str(error["code"]))
