"""The sandbox's REST surface, the way independent clients use it, and its refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from netsuite.exceptions import NetsuiteAPIRequestError
from netsuite.rest_api import NetSuiteRestApi
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.connectors.netsuite.account import CONNECTOR, Driver, sandbox_of, serve, world

from firnline.connectors.protocol import Grounds, Response
from firnline.connectors.registry import load_module

RECORD = "/services/rest/record/v1"
QUERY = "/services/rest/query/v1/suiteql"


# The client hands text to httpx in a way that httpx has deprecated.
CLIENT_WARNS = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Bearer(httpx.Auth):
    """The independent client knows TBA only; the token is put in its place."""

    def __init__(self, token: str) -> None:
        self.token = token

    def auth_flow(self, request: httpx.Request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


class LoopbackApi(NetSuiteRestApi):
    """PyPI's `netsuite`, sent to loopback."""

    def __init__(self, origin: str, token: str) -> None:
        self._origin = origin
        self._token = token
        self._default_timeout = 10
        self._concurrent_requests = 4

    def _make_url(self, subpath: str) -> str:
        return f"{self._origin}/services/rest{subpath}"

    def _make_auth(self) -> httpx.Auth:
        return Bearer(self._token)


@pytest.fixture
def api(acme: Driver) -> LoopbackApi:
    """The independent client with an administrator's token."""
    return LoopbackApi(str(acme.http.base_url).rstrip("/"), acme.token)


async def call(acme: Driver, path: str, *, headers: Any = None, **options: Any) -> Any:
    sent = {"Authorization": f"Bearer {acme.token}", **(headers or {})}
    method = "POST" if "json" in options or "content" in options else "GET"
    return await acme.http.request(method, path, headers=sent, **options)


@CLIENT_WARNS
async def test_independent_client_queries_lists_reads_and_describes(
    acme: Driver, api: LoopbackApi
) -> None:
    listed = await api.get("/record/v1/customer", params={"limit": 5, "q": "isInactive IS false"})
    key = listed["items"][0]["id"]
    record = await api.get(f"/record/v1/customer/{key}")
    found = await api.suiteql(f"SELECT id, companyname FROM customer WHERE id = {key}")
    schema = await api.jsonschema("customer")

    assert listed["totalResults"] == acme.sandbox.counts()["customer"]
    assert found["items"] == [{"links": [], "id": key, "companyname": record["companyName"]}]
    assert schema["properties"]["custentity_crm_account_id"]["x-ns-custom-field"] is True
    assert schema["properties"]["creditLimit"]["type"] == "number"
    assert isinstance(record["creditLimit"], float)
    assert record["subsidiary"]["refName"]
    assert record["links"][0]["href"].startswith("http://127.0.0.1:")


@CLIENT_WARNS
async def test_independent_client_gets_the_vendors_error(api: LoopbackApi) -> None:
    with pytest.raises(NetsuiteAPIRequestError) as refused:
        await api.suiteql("SELECT balance FROM customer")

    assert refused.value.status_code == 400
    assert "Unknown identifier 'balance'" in refused.value.response_text


async def test_balance_is_the_sum_of_what_the_customers_invoices_leave_open(acme: Driver) -> None:
    summed = await call(
        acme,
        QUERY,
        headers={"Prefer": "transient"},
        json={
            "q": "SELECT entity, SUM(foreignamountunpaid) AS open FROM transaction GROUP BY entity"
        },
    )
    for row in summed.json()["items"][:10]:
        record = (await call(acme, f"{RECORD}/customer/{row['entity']}")).json()
        assert record["balance"] == pytest.approx(float(row["open"]))


async def test_record_is_found_by_external_id_and_cut_to_fields(acme: Driver) -> None:
    key = str(next(iter(acme.sandbox.store.tables["customer"])))
    acme.sandbox.change("customer", key, externalid="EXT-1")

    answer = await call(acme, f"{RECORD}/customer/eid:EXT-1", params={"fields": "entityId"})

    assert set(answer.json()) == {"links", "entityId"}


async def test_links_are_those_of_the_host_that_was_asked(acme: Driver) -> None:
    headers = {"Host": "1234567.suitetalk.api.netsuite.com", "X-Forwarded-Proto": "https"}

    page = await call(acme, f"{RECORD}/invoice", headers=headers, params={"limit": "50"})

    links = {link["rel"]: link["href"] for link in page.json()["links"]}
    assert links["next"] == (
        "https://1234567.suitetalk.api.netsuite.com/services/rest/record/v1/invoice?limit=50&offset=50"
    )


async def test_collection_pages_give_every_id_once(acme: Driver) -> None:
    keys: list[str] = []
    url = f"{RECORD}/invoice?limit=60"
    while url:
        page = (await call(acme, url)).json()
        keys += [item["id"] for item in page["items"]]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")

    assert len(set(keys)) == len(keys) == acme.sandbox.counts()["invoice"]


@pytest.mark.parametrize(
    ("q", "kept"),
    [
        ('tranId IS "{tranid}"', 1),
        ("id ANY_OF [{id}, 1]", 1),
        ('status IS "Q"', 0),
        ('tranDate ON_OR_AFTER "01/01/1990" AND id EQUAL {id}', 1),
        ("id EQUAL {id} OR memo EMPTY_NOT AND id EQUAL 0", 1),
        ("externalId EMPTY AND id EQUAL {id}", 1),
    ],
)
async def test_collection_filter_keeps_what_it_says(acme: Driver, q: str, kept: int) -> None:
    row = next(iter(acme.sandbox.store.tables["transaction"].values()))

    answer = await call(acme, f"{RECORD}/invoice", params={"q": q.format(**row)})

    assert answer.json()["totalResults"] == kept


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        (f"{RECORD}/customer/999999", {}, 404, "NONEXISTENT_ID"),
        (f"{RECORD}/unicorn", {}, 404, "NOT_FOUND"),
        (f"{RECORD}/customer", {"limit": "1001"}, 400, "INVALID_PARAMETER"),
        (f"{RECORD}/customer", {"limit": "10", "offset": "5"}, 400, "INVALID_PARAMETER"),
        (f"{RECORD}/customer", {"offset": "100000"}, 400, "INVALID_PARAMETER"),
        (f"{RECORD}/customer", {"limit": "ten"}, 400, "INVALID_PARAMETER"),
        (
            f"{RECORD}/customer",
            {"q": "lastModifiedDate AFTER x"},
            400,
            "INVALID_PARAMETER",
        ),
        (f"{RECORD}/customer", {"q": "nothing IS 1"}, 400, "INVALID_PARAMETER"),
        (f"{RECORD}/customer", {"q": "id IS"}, 400, "INVALID_PARAMETER"),
        (f"{RECORD}/metadata-catalog", {"select": "a, b"}, 400, "INVALID_REQUEST"),
        ("/services/rest/elsewhere", {}, 404, "NOT_FOUND"),
    ],
)
async def test_wrong_call_is_answered_in_the_vendors_envelope(
    acme: Driver, path: str, params: dict[str, str], status: int, code: str
) -> None:
    answer = await call(acme, path, params=params)

    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status)
    assert body["o:errorDetails"][0]["o:errorCode"] == code
    assert answer.headers["content-type"].startswith("application/vnd.oracle.resource+json")


@pytest.mark.parametrize(
    ("headers", "content", "code"),
    [
        ({}, b'{"q": "SELECT id FROM customer"}', "INVALID_HEADER"),
        ({"Prefer": "transient"}, b"{", "INVALID_CONTENT"),
        ({"Prefer": "transient"}, b"[]", "INVALID_CONTENT"),
        ({"Prefer": "transient"}, b'{"q": 5}', "INVALID_CONTENT"),
        ({"Prefer": "transient"}, b'{"q": "SELECT"}', "INVALID_PARAMETER"),
        (
            {"Prefer": "transient"},
            b'{"q": "SELECT id FROM customer WHERE ' + b"NOT " * 20000 + b'id = 1"}',
            "INVALID_PARAMETER",
        ),
    ],
    ids=["no-prefer", "no-json", "list", "number", "no-query", "very-deep"],
)
async def test_wrong_query_call_is_refused(
    acme: Driver, headers: dict[str, str], content: bytes, code: str
) -> None:
    answer = await call(acme, QUERY, headers=headers, content=content)

    assert answer.status_code == 400
    assert answer.json()["o:errorDetails"][0]["o:errorCode"] == code


async def test_governance_is_told_to_administrators_alone(acme: Driver) -> None:
    path = "/services/rest/system/v1/governanceLimits"
    clerk = next(p.email for p in acme.sandbox.store.company.people if p.erp == "receivables")

    told = await call(acme, path)
    acme.token = acme.sandbox.token_for(clerk)
    refused = await call(acme, path)

    assert told.json()["accountConcurrencyLimit"] == 5
    assert refused.status_code == 403


async def test_narrow_role_neither_lists_nor_reads_what_it_lacks(acme: Driver) -> None:
    sandbox = acme.sandbox
    clerk = next(p.email for p in sandbox.store.company.people if p.erp == "receivables")
    acme.token = sandbox.token_for(clerk)
    key = next(iter(sandbox.store.tables["customer"]))

    catalogue = (await call(acme, f"{RECORD}/metadata-catalog")).json()
    record = (await call(acme, f"{RECORD}/customer/{key}")).json()
    contacts = await call(acme, f"{RECORD}/contact")

    assert [item["name"] for item in catalogue["items"]] == ["customer", "invoice", "subsidiary"]
    assert "creditLimit" not in record
    assert contacts.json()["o:errorDetails"][0]["o:errorCode"] == "INSUFFICIENT_PERMISSION"


async def test_restricted_role_cannot_reach_a_row_by_key_query_or_count(acme: Driver) -> None:
    sandbox = acme.sandbox
    seller = next(
        p for p in sandbox.store.company.people if len(p.subsidiaries) == 1 and p.active and p.erp
    )
    own = sandbox.store.subsidiary_id(seller.subsidiaries[0])
    acme.token = sandbox.token_for(seller.email)
    customers = sandbox.store.tables["customer"].values()
    foreign = next(row["id"] for row in customers if row["subsidiary"] != own)
    query = f"SELECT COUNT(*) AS n FROM customer WHERE id = {foreign}"

    by_key = await call(acme, f"{RECORD}/customer/{foreign}")
    by_query = await call(acme, QUERY, headers={"Prefer": "transient"}, json={"q": query})
    lines = await call(
        acme,
        QUERY,
        headers={"Prefer": "transient"},
        json={"q": f"SELECT id FROM transactionline WHERE subsidiary <> {own}"},
    )

    assert by_key.status_code == 404
    assert by_query.json()["items"] == [{"links": [], "n": "0"}]
    assert lines.json()["totalResults"] == 0


def slow_upload(app: ASGIApp) -> ASGIApp:
    """Deliver each request's body a moment late, as a network does."""

    async def delayed(scope: Scope, receive: Receive, send: Send) -> None:
        async def late() -> Message:
            await asyncio.sleep(0.2)
            return await receive()

        await app(scope, late, send)

    return delayed


async def test_sixth_request_at_the_same_time_is_blocked() -> None:
    sandbox = sandbox_of(world("acme"))
    async with serve(slow_upload(sandbox.app)) as http:
        driver = Driver(http, sandbox)
        burst = [call(driver, f"{RECORD}/metadata-catalog") for _ in range(6)]
        answers = await asyncio.gather(*burst)
        after = await call(driver, f"{RECORD}/metadata-catalog")

    statuses = sorted(answer.status_code for answer in answers)
    blocked = next(answer for answer in answers if answer.status_code == 429)
    assert statuses == [200] * 5 + [429]
    assert blocked.json()["o:errorDetails"][0]["o:errorCode"] == "CONCURRENCY_LIMIT_EXCEEDED"
    assert after.status_code == 200


async def test_fault_is_served_as_often_as_asked_then_the_account_answers(acme: Driver) -> None:
    fault = load_module("netsuite", "sandbox").Fault
    acme.sandbox.faults.append(fault("metadata-catalog", times=2, status=503, body=b"busy"))

    answers = [await call(acme, f"{RECORD}/metadata-catalog") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 200]


async def provoke(acme: Driver, name: str) -> Any:
    """Return a real refusal of the sandbox by name."""
    sandbox = acme.sandbox
    clerk = next(p.email for p in sandbox.store.company.people if p.erp == "receivables")
    match name:
        case "expired":
            acme.token = "expired"
            return await call(acme, f"{RECORD}/customer")
        case "forbidden":
            acme.token = sandbox.token_for(clerk)
            return await call(acme, f"{RECORD}/contact")
        case "forbidden by user error":
            sandbox._rest._permission_error = "user_error"
            acme.token = sandbox.token_for(clerk)
            query = {"q": "SELECT id FROM contact"}
            return await call(acme, QUERY, headers={"Prefer": "transient"}, json=query)
        case "missing":
            return await call(acme, f"{RECORD}/customer/999999")
        case "wrong query":
            return await call(acme, QUERY, headers={"Prefer": "transient"}, json={"q": "SELECT"})
        case _:
            errors = load_module("netsuite", "sandbox_errors")
            sent = errors.too_many().response()
            return httpx.Response(sent.status_code, content=sent.body)


@pytest.mark.parametrize(
    ("name", "grounds", "code"),
    [
        ("expired", Grounds.TOKEN_EXPIRED, "INVALID_LOGIN"),
        ("forbidden", Grounds.FORBIDDEN, "INSUFFICIENT_PERMISSION"),
        ("forbidden by user error", Grounds.FORBIDDEN, "USER_ERROR"),
        ("missing", Grounds.NOT_FOUND, "NONEXISTENT_ID"),
        ("wrong query", Grounds.INVALID, "INVALID_PARAMETER"),
        ("too many", Grounds.RATE_LIMITED, "CONCURRENCY_LIMIT_EXCEEDED"),
    ],
)
async def test_connector_understands_each_refusal_of_the_account(
    acme: Driver, name: str, grounds: Grounds, code: str
) -> None:
    answer = await provoke(acme, name)

    verdict = CONNECTOR.classify(Response(answer.status_code, {}, answer.content))

    assert (verdict.grounds, verdict.code) == (grounds, code)
    assert verdict.message


@pytest.mark.parametrize(
    ("status", "headers", "content", "grounds"),
    [
        (400, {}, b'{"error":"invalid_grant"}', Grounds.TOKEN_REVOKED),
        (401, {}, b'{"error":"invalid_client"}', Grounds.TOKEN_REVOKED),
        (400, {}, b'{"error":"unauthorized_client"}', Grounds.TOKEN_REVOKED),
        (400, {}, b'{"error":"invalid_scope"}', Grounds.SCOPE_MISSING),
        (400, {}, b'{"error":"invalid_request"}', Grounds.INVALID),
        (400, {}, b'{"error":"unsupported_grant_type"}', Grounds.INVALID),
        (400, {}, b'{"o:errorDetails":[{"o:errorCode":"IDEMPOTENCY_ERROR"}]}', Grounds.CONFLICT),
        (400, {}, b'{"o:errorDetails":[]}', Grounds.INVALID),
        (400, {}, b'{"o:errorDetails":["odd"]}', Grounds.INVALID),
        (500, {}, b'{"o:errorDetails":[{"o:errorCode":"UNEXPECTED_ERROR"}]}', Grounds.UNAVAILABLE),
        (502, {}, b"<html>", Grounds.UNAVAILABLE),
        (429, {"retry-after": "7"}, b"", Grounds.RATE_LIMITED),
        (401, {}, b"", Grounds.TOKEN_EXPIRED),
        (403, {}, b"[]", Grounds.FORBIDDEN),
        (404, {}, b"null", Grounds.NOT_FOUND),
        (302, {}, b"", Grounds.UNKNOWN),
        (418, {}, b"\xff", Grounds.UNKNOWN),
    ],
)
def test_connector_classifies_documented_and_broken_bodies(
    status: int, headers: dict[str, str], content: bytes, grounds: Grounds
) -> None:
    verdict = CONNECTOR.classify(Response(status, headers, content))

    assert verdict.grounds is grounds
    assert verdict.retry_after_s == (7.0 if headers else None)
