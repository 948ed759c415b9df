"""Binder: judges answers as an OData Gateway gives them: HTML and plain text among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


class Binder(SmallConnector):
    provider = "binder"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/sap/opu/odata/sap/API_BINDER/Me")
        (answer,) = yield [request]
        me = expect(self, request, answer)["d"]
        return Identity(settings["office"], settings["office"], me["UserName"], me["UserName"])

    def classify(self, response: Response) -> Verdict:
        grounds = grounds_of_status(response.status)
        try:
            error: Any = response.json()["error"]
            return Verdict(grounds, error["message"]["value"], error["code"])
        except (ValueError, KeyError, TypeError):
            return Verdict(grounds)
