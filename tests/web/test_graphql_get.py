"""`GET /graphql` over real HTTP: what it takes and never believes, and what clients may keep."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.web.conftest import Served

GRAPHQL = "application/graphql-response+json; charset=utf-8"


async def get(served: Served, *, headers: dict[str, str] | None = None, **asked: str) -> Any:
    good = served.headers(content_type=None)
    return await served.client.get("/graphql", params=asked, headers={**good, **(headers or {})})


async def test_query_in_the_address_is_answered_and_not_kept(served: Served) -> None:
    response = await get(
        served,
        query="query Said($text: String!) { echo(text: $text) } query Other { me }",
        variables='{"text": "Grüße & + %"}',
        operationName="Said",
        extensions='{"some": "value"}',
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == GRAPHQL
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Accept, Authorization"
    assert "etag" not in response.headers
    assert response.json() == {"data": {"echo": "Grüße & + %"}}
    assert served.gateway.seen[0][1].queries_only


async def test_post_may_ask_for_more_than_queries(served: Served) -> None:
    await served.post({"query": 'mutation { rename(name: "x") }'})
    assert not served.gateway.seen[0][1].queries_only


async def test_head_is_answered_without_a_body(served: Served) -> None:
    response = await served.client.head(
        "/graphql", params={"query": "{ me }"}, headers=served.headers(content_type=None)
    )
    assert (response.status_code, response.content) == (200, b"")


async def test_cookie_is_never_believed(served: Served) -> None:
    cookies = f"firnline_person={served.token}; authorization=Bearer {served.token}"
    response = await served.client.get(
        "/graphql", params={"query": "{ me }"}, headers={"cookie": cookies}
    )
    assert response.status_code == 401
    assert served.gateway.seen == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "neither"),
        ("query=%FF", "cannot be read"),
        ("query=%7Bme%7D&variables=%7B", "cannot be read"),
        ("query=%7Bme%7D&variables=[1]", "variables"),
        ("query=%7Bme%7D&extensions=1", "extensions"),
        ("query=%7Bme%7D&query=%7Bme%7D", "twice"),
        ("query=%7Bme%7D&documentId=a", "both"),
        ("&".join(f"x{number}=1" for number in range(99)), "cannot be read"),
    ],
)
async def test_malformed_address_is_refused_with_what_is_wrong(
    served: Served, address: str, reason: str
) -> None:
    response = await served.client.get(
        f"/graphql?{address}", headers=served.headers(content_type=None)
    )
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "malformed_request"
    assert reason in error["message"]
    assert served.gateway.seen == []


async def test_answer_by_document_id_is_sent_once_and_then_only_confirmed(served: Served) -> None:
    first = await get(served, documentId="sha256:ab")
    tag = first.headers["etag"]
    again = await get(served, documentId="sha256:ab", headers={"if-none-match": f'"x", W/{tag}'})

    assert first.json() == {"data": {"me": "ana@acme.example at acme"}}
    assert (again.status_code, again.content) == (304, b"")
    for response in (first, again):
        assert response.headers["etag"] == tag
        assert response.headers["cache-control"] == "private, max-age=0, must-revalidate"
        assert response.headers["vary"] == "Accept, Authorization"
    assert len(served.gateway.seen) == 2  # confirmed from a fresh answer, never from memory


async def test_changed_answer_or_media_type_is_sent_again(served: Served) -> None:
    tag = (await get(served, documentId="a")).headers["etag"]
    known = {"if-none-match": tag}

    other_media = await get(served, documentId="a", headers={**known, "accept": "application/json"})
    served.gateway.answer_of_ids = "{ deals { name } }"
    changed = await get(served, documentId="a", headers=known)

    assert (other_media.status_code, changed.status_code) == (200, 200)
    assert len({tag, other_media.headers["etag"], changed.headers["etag"]}) == 3


@pytest.mark.parametrize("text", ["{ broken }", "{ nothing }"])
async def test_answer_with_errors_is_not_kept(served: Served, text: str) -> None:
    served.gateway.answer_of_ids = text
    response: httpx2.Response = await get(
        served, documentId="a", headers={"accept": "application/json"}
    )
    assert response.status_code == 200
    assert response.json()["errors"]
    assert "etag" not in response.headers
    assert response.headers["cache-control"] == "private, no-store"


async def test_answer_by_post_is_not_kept(served: Served) -> None:
    response = await served.post({"documentId": "a"}, if_none_match="*")
    assert response.status_code == 200
    assert "etag" not in response.headers
