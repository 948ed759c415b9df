"""What a provider says is quoted without what the call showed to it, however it quotes that."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
from starlette.requests import Request as Received
from starlette.responses import Response
from tests.transport.loopback import serve

from firnline.clock import SystemClock
from firnline.connectors.protocol import Grounds, Request, Verdict
from firnline.transport import Destination, OutboundCall, ProviderUnavailableError, Transport
from firnline.transport.concealing import (
    Hidden,
    HiddenValues,
    secrets_of,
    without,
    without_secrets,
)

SECRET = 'k9-"Zx&71<ü>%:4 q/Hn+0_mBt=Lw3'
PASSWORD = "hunter two"
DESTINATION = Destination("crm", "acme", "main", ("api.crm.example",), "crm", 4)


def call(**changes: Any) -> OutboundCall:
    return OutboundCall(DESTINATION, "GET", "https://api.crm.example/me", **changes)


@pytest.mark.parametrize(
    "written",
    [
        str,
        lambda secret: quote(secret, safe=""),
        quote_plus,
        html.escape,
        lambda secret: json.dumps(secret)[1:-1],
        lambda secret: secret[:24],
        lambda secret: secret[-24:],
        lambda secret: f"{secret[:14]}\r\n{secret[14:]}",
        lambda secret: f"{secret}{secret}",
    ],
)
def test_no_form_and_no_longer_part_of_a_secret_is_quoted(written: Callable[[str], str]) -> None:
    text = f"the token {written(SECRET)} is not good, said {written(SECRET)}!"
    said = without({SECRET}, text)

    assert said.startswith("the token …") and said.endswith("…!")
    assert not any(SECRET[start : start + 12] in said for start in range(len(SECRET) - 11))
    assert "is not good, said" in said


def test_text_without_secrets_is_left_as_it_is() -> None:
    assert without({SECRET, ""}, "The company SBO_NORTH is locked.") == (
        "The company SBO_NORTH is locked."
    )


def test_short_secret_is_cut_whole() -> None:
    assert without({"1234"}, "PIN 1234 of user 7") == "PIN … of user 7"


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"headers": {"authorization": f"Zoho-oauthtoken {SECRET}"}},
        {"headers": {"cookie": f"lang=en; B1SESSION={SECRET}"}},
        {"form": {"grant_type": "refresh_token", "refresh_token": SECRET}},
        {"form": {"grant_type": "authorization_code", "code": SECRET}},
        {"form": {"code_verifier": SECRET}},
        {"form": {"client_assertion": SECRET}},
        {"json": {"UserName": "rita", "Password": SECRET}},
        {"params": {"client_id": "a", "client_secret": SECRET}},
        {"headers": {"x-stamp-key": SECRET}, "secrets": (SECRET,)},
    ],
)
def test_call_knows_what_it_shows(changes: dict[str, Any]) -> None:
    said = without_secrets(call(**changes), f"rejected {SECRET} of rita by en, refresh_token")
    assert said == "rejected … of rita by en, refresh_token"


def test_password_in_a_basic_header_is_known_as_it_was_typed() -> None:
    for password in (PASSWORD, quote_plus(PASSWORD)):
        shown = base64.b64encode(f"rita:{password}".encode()).decode()
        asked = call(headers={"authorization": f"Basic {shown}"})
        assert without_secrets(asked, f"rita: {PASSWORD}, {shown}") == "rita: …, …"


def test_secret_in_the_query_of_an_address_is_known() -> None:
    asked = OutboundCall(DESTINATION, "GET", f"https://api.crm.example/t?access_token={SECRET[:5]}")
    assert without_secrets(asked, f"bad {SECRET[:5]}") == "bad …"


async def test_error_of_an_outage_quotes_no_credential_that_the_provider_sent_back() -> None:
    """Its page shows the whole request, as debugging proxies and frameworks do."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Received(scope, receive)
        told = {"message": f"upstream failed for {dict(request.headers)}"}
        await Response(orjson.dumps(told), 503)(scope, receive, send)

    def judge(response: Any) -> Verdict:
        return Verdict(Grounds.UNAVAILABLE, response.json()["message"])

    async with serve(app) as origin:
        routes = {"https://api.crm.example": origin}
        async with Transport(routes=routes, clock=SystemClock()) as transport:
            asked = call(
                headers={"authorization": "Bearer " + "Zq8" * 12},
                judge=judge,
                repeatable=False,
            )
            with pytest.raises(ProviderUnavailableError) as raised:
                await transport.send(asked, deadline_s=5)

    assert "authorization" in raised.value.message
    assert "Zq8" not in raised.value.message


async def test_address_that_is_a_secret_is_named_by_its_template() -> None:
    """HubSpot ends a token by a DELETE of an address that holds it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response(b"", 503)(scope, receive, send)

    async with serve(app) as origin:
        routes = {"https://api.crm.example": origin}
        async with Transport(routes=routes, clock=SystemClock()) as transport:
            asked = OutboundCall(
                DESTINATION,
                "DELETE",
                "https://api.crm.example/tokens/canaryofatoken",
                template="/tokens/{token}",
                repeatable=False,
            )
            with pytest.raises(ProviderUnavailableError) as raised:
                await transport.send(asked, deadline_s=5)

    assert "DELETE /tokens/{token} answered 503" in raised.value.message
    assert "canaryofatoken" not in repr(raised.value.as_dict())


def test_what_is_kept_for_a_call_is_not_shown_by_tracebacks_that_list_variables() -> None:
    asked = call(
        headers={"authorization": f"Bearer {SECRET}"},
        form=HiddenValues(code=SECRET),
        secrets=Hidden({SECRET}),
    )
    kept = (asked, secrets_of(asked), HiddenValues(code=SECRET), Hidden({SECRET}))
    request = Request("POST", "/Login", json={"Password": SECRET}, headers={"x": SECRET})

    assert repr(kept).count("Hidden") == 3
    assert SECRET[:8] not in repr((*kept, request))
