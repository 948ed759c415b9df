"""`POST /graphql` over real HTTP: media types, statuses, limits, and who is believed."""

from __future__ import annotations

import hashlib
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson
import pytest
from tests.web.conftest import Served, Serving

from firnline.errors import FirnlineError

GRAPHQL = "application/graphql-response+json; charset=utf-8"
JSON = "application/json; charset=utf-8"


class QuotaError(FirnlineError):
    code = "quota_for_test"
    status = 429
    retryable = True


def refusal(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that `response` is a GraphQL refusal and return its error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] in {GRAPHQL, JSON}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "private, no-store"
    body = response.json()
    assert set(body) == {"errors"}
    (error,) = body["errors"]
    assert error["extensions"]["code"] == code
    assert error["extensions"]["hint"]
    assert error["message"]
    return error


async def test_query_of_a_token_holder_is_answered_as_that_person(served: Served) -> None:
    response = await served.post({"query": "{ me }"})
    assert response.status_code == 200
    assert response.headers["content-type"] == GRAPHQL
    assert response.json() == {"data": {"me": "ana@acme.example at acme"}}


async def test_tenant_in_header_host_query_or_variables_changes_nothing(served: Served) -> None:
    response = await served.client.post(
        "/graphql?tenant=globex",
        json={"query": "{ me }", "tenant": "globex", "variables": {"tenant": "globex"}},
        headers={**served.headers(), "x-tenant": "globex", "host": "globex.example"},
    )
    assert served.gateway.seen[0][0].tenant == "acme"
    assert response.json() == {"data": {"me": "ana@acme.example at acme"}}


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/graphql-response+json", GRAPHQL),
        ("APPLICATION/GRAPHQL-RESPONSE+JSON; charset=UTF-8", GRAPHQL),
        ("application/json, application/graphql-response+json", GRAPHQL),
        ("application/graphql-response+json;q=0.5, application/json", JSON),
        ("application/graphql-response+json;q=0, */*", JSON),
        ("text/html, application/json;q=0.1", JSON),
        ("*/*;q=0.1, application/graphql-response+json;q=0.2", GRAPHQL),
    ],
)
async def test_accept_header_chooses_the_media_type(
    served: Served, accept: str | None, media: str
) -> None:
    headers = served.headers(accept=None)
    request = served.client.build_request(
        "POST", "/graphql", json={"query": "{ me }"}, headers=headers
    )
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    response = await served.client.send(request)
    assert response.status_code == 200
    assert response.headers["content-type"] == media


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "application/json; charset=latin-1", ";", ","]
)
async def test_unanswerable_accept_header_is_refused(served: Served, accept: str) -> None:
    refusal(await served.post({"query": "{ me }"}, accept=accept), 406, "not_acceptable")
    assert served.gateway.seen == []


@pytest.mark.parametrize("query", ["{ nothing }", "{", "query A { me } query B { me }"])
async def test_refused_document_has_its_status_only_for_clients_that_expect_it(
    served: Served, query: str
) -> None:
    strict = await served.post({"query": query})
    assert (strict.status_code, "data" in strict.json()) == (400, False)
    older = await served.post({"query": query}, accept="application/json")
    assert (older.status_code, older.headers["content-type"]) == (200, JSON)
    assert older.json()["errors"]


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"query": NaN}', "JSON"),
        (b'{"query": "\xff"}', "JSON"),
        (b'{"query": "\\ud800"}', "JSON"),
        (b"[" * 5000, "JSON"),
        (b"null", "object"),
        (b'"{ me }"', "object"),
        (b"{}", "neither"),
        (b'{"query": 1}', "query"),
        (b'{"query": null}', "neither"),
        (b'{"query": "{ me }", "variables": "{}"}', "variables"),
        (b'{"query": "{ me }", "variables": [1]}', "variables"),
        (b'{"query": "{ me }", "operationName": {}}', "operationName"),
        (b'{"query": "{ me }", "extensions": []}', "extensions"),
        (b'{"documentId": 7}', "documentId"),
        (b'{"documentId": "%s"}' % (b"x" * 300), "too long"),
        (b'{"query": "{ me }", "documentId": "a"}', "both"),
        (b'{"documentId": "a", "doc_id": "b"}', "more than one"),
        (b'{"extensions": {"persistedQuery": {"sha256Hash": "zz"}}}', "64 hexadecimal"),
        (b'{"extensions": {"persistedQuery": 1}}', "persistedQuery"),
    ],
)
async def test_malformed_body_is_refused_with_what_is_wrong(
    served: Served, body: bytes, reason: str, accept: str
) -> None:
    error = refusal(await served.post(body, accept=accept), 400, "malformed_request")
    assert reason in error["message"]
    assert served.gateway.seen == []


async def test_null_members_mean_absent(served: Served) -> None:
    response = await served.post(
        {"query": "{ me }", "variables": None, "operationName": None, "extensions": None}
    )
    assert response.status_code == 200


async def test_text_in_any_script_comes_back_unchanged(served: Served) -> None:
    text = "Grüße 株式会社 🏔 \u2028"
    response = await served.post(
        {"query": "query($text: String!) { echo(text: $text) }", "variables": {"text": text}}
    )
    assert response.json()["data"]["echo"] == text


HASH = hashlib.sha256(b"{ me }").hexdigest()


@pytest.mark.parametrize(
    ("body", "query", "document_id"),
    [
        ({"documentId": "sha256:ab"}, None, "sha256:ab"),
        ({"doc_id": "renewals"}, None, "renewals"),
        (
            {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": HASH.upper()}}},
            None,
            f"sha256:{HASH}",
        ),
        (
            {"query": "{ me }", "extensions": {"persistedQuery": {"sha256Hash": HASH}}},
            "{ me }",
            f"sha256:{HASH}",
        ),
    ],
)
async def test_document_id_of_each_dialect_reaches_the_gateway(
    served: Served, body: dict[str, Any], query: str | None, document_id: str
) -> None:
    assert (await served.post(body)).status_code == 200
    request = served.gateway.seen[0][1]
    assert (request.query, request.document_id) == (query, document_id)


async def test_text_under_the_hash_of_another_text_is_refused(served: Served) -> None:
    body = {"query": "{ deals { name } }", "extensions": {"persistedQuery": {"sha256Hash": HASH}}}
    error = refusal(await served.post(body), 400, "malformed_request")
    assert "hash" in error["message"]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer =", "Basic YTpi", "Bearer a.b.c", "token", "Bearer a b"],
)
async def test_request_without_a_good_token_is_refused_before_its_body_is_read(
    served: Served, authorization: str | None
) -> None:
    response = await served.post(b"not json", authorization=authorization)
    refusal(response, 401, "token_refused")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_second_authorization_header_is_refused(served: Served) -> None:
    headers = [*served.headers().items(), ("authorization", "Bearer other")]
    response = await served.client.post("/graphql", content=b"{}", headers=headers)
    refusal(response, 401, "token_refused")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/graphql",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "application/jsonp",
    ],
)
async def test_body_of_another_media_type_is_refused(
    served: Served, content_type: str | None
) -> None:
    response = await served.post({"query": "mutation { rename }"}, content_type=content_type)
    refusal(response, 415, "media_type")


async def test_compressed_body_is_refused(served: Served) -> None:
    refusal(await served.post(b"\x1f\x8b", content_encoding="gzip"), 415, "media_type")


async def test_body_over_the_limit_is_refused_and_one_at_the_limit_is_not(served: Served) -> None:
    frame = len(orjson.dumps({"query": "{ me }#"}))
    fits = {"query": "{ me }#" + "x" * (64 * 1024 - frame)}
    assert (await served.post(fits)).status_code == 200
    over = {"query": fits["query"] + "x"}
    refusal(await served.post(over), 413, "body_too_large")


def exchange(url: str, head: list[str], *chunks: bytes, timeout_s: float = 5) -> bytes:
    """Send raw bytes and return everything that comes back until the server closes."""
    where = urlsplit(url)
    assert where.hostname
    with socket.create_connection((where.hostname, where.port or 0), timeout=timeout_s) as wire:
        wire.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        received = b""
        try:
            for chunk in chunks:
                wire.sendall(chunk)
            while part := wire.recv(65536):
                received += part
        except (ConnectionError, TimeoutError):
            pass
        return received


def raw_head(served: Served, *more: str) -> list[str]:
    return [
        "POST /graphql HTTP/1.1",
        "Host: any.example",
        *(f"{name}: {value}" for name, value in served.headers().items()),
        *more,
    ]


async def test_declared_giant_body_is_refused_without_waiting_for_it(served: Served) -> None:
    answer = exchange(served.url, raw_head(served, "Content-Length: 99999999999"), b"{")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body_too_large" in answer


async def test_endless_chunked_body_is_cut_off_at_the_limit(served: Served) -> None:
    chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    answer = exchange(
        served.url, raw_head(served, "Transfer-Encoding: chunked"), *[chunk] * 33, timeout_s=10
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_slow_body_ends_at_the_deadline(serving: Serving) -> None:
    with serving(request_deadline_s=0.3) as (url, gateway, token):
        head = [
            "POST /graphql HTTP/1.1",
            "Host: any.example",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            "Content-Length: 100",
            "Connection: close",
        ]
        answer = exchange(url, head, b'{"query')
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert gateway.seen == []


async def test_slow_execution_ends_at_the_deadline(serving: Serving) -> None:
    with serving(request_deadline_s=0.2) as (url, gateway, token):
        gateway.delay_s = 30
        async with httpx2.AsyncClient(base_url=url) as client:
            response = await client.post(
                "/graphql",
                json={"query": "{ me }"},
                headers={"authorization": f"Bearer {token}"},
            )
    error = refusal(response, 504, "deadline")
    assert error["extensions"]["retryable"] is True


async def test_batch_is_refused_with_its_own_code(served: Served) -> None:
    refusal(await served.post(b'[{"query": "{ me }"}]'), 400, "batch_refused")
    assert served.gateway.seen == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_any_method_but_get_and_post_is_refused_with_what_is_allowed(
    served: Served, method: str
) -> None:
    response = await served.client.request(
        method, "/graphql?query={me}", headers=served.headers(accept=None)
    )
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"
    refusal(response, 405, "method_not_allowed")
    assert served.gateway.seen == []


async def test_refusal_by_the_gateway_keeps_its_status_code_and_hint(served: Served) -> None:
    served.gateway.failure = QuotaError("too many requests", hint="Wait a minute.")
    for accept in ("application/json", "application/graphql-response+json"):
        error = refusal(
            await served.post({"query": "{ me }"}, accept=accept), 429, "quota_for_test"
        )
        assert error["extensions"] == {
            "code": "quota_for_test",
            "hint": "Wait a minute.",
            "retryable": True,
        }


async def test_unexpected_failure_tells_an_id_and_logs_the_cause_under_it(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.gateway.failure = RuntimeError("the secret is swordfish")
    error = refusal(await served.post({"query": "{ me }"}), 500, "internal")
    assert "swordfish" not in str(error)
    (record,) = [record for record in caplog.records if record.name == "firnline.web"]
    error_id = record.getMessage().split()[2]
    assert len(error_id) == 12
    assert error_id in error["message"]
    assert record.exc_info and "swordfish" in str(record.exc_info[1])


async def test_timeout_inside_the_gateway_is_not_taken_for_our_deadline(served: Served) -> None:
    served.gateway.failure = TimeoutError("a lock")
    refusal(await served.post({"query": "{ me }"}), 500, "internal")
