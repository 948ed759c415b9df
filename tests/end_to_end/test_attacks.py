"""Requests made to cost are refused over HTTP with code, number and limit, as fast as answers come.

Time is compared with a plain question of the same bytes that was not asked before, in turns with
the attack.
"""

from __future__ import annotations

import time
from typing import Any

import httpx2
import orjson
import pytest
from tests.end_to_end.conftest import Synced
from tests.end_to_end.test_http import Served, served
from tests.graph.test_guard import bomb

from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

REP = DEMO_PEOPLE["acme"]["rep"]
PLAIN = "{ accounts(first: 5) { nodes { id name } } }"
SLOWER_MAX = 3  # times a plain question of the same bytes
FIELDS_MAX = 400
ROUNDS = 5
IDS = "query ($ids: [ID!]) { accounts(where: {id: {in: $ids}}) { totalCount } }"
LIKE = "query ($p: String!) { accounts(where: {name: {like: $p}}) { totalCount } }"


def body(query: str, **variables: Any) -> dict[str, Any]:
    return {"query": query, "variables": variables}


# name -> what is sent, the code, and what the message tells.
ATTACKS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "1 depth": (body("{a" * 300 + "}" * 300), "document_too_large", ("levels", "limit is")),
    "2 one field": (
        body("{ accounts { nodes {" + "id " * 1_500 + "} } }"),
        "document_too_large",
        ("selections of one key", "10"),
    ),
    "3 fragment bomb": (body(bomb(20)), "document_too_large", ("limit is",)),
    "4 fragments in a circle": (
        body("{...A}fragment A on Query{...B}fragment B on Query{...A}"),
        "document_invalid",
        ("contains itself",),
    ),
    "5 aliases": (
        body("{" + " ".join(f"k{n}: accounts {{ totalCount }}" for n in range(200)) + "}"),
        "document_too_large",
        ("200 root fields", "20"),
    ),
    "6 comments": (
        body("{ accounts { totalCount } }" + "#\n" * 12_000 + "{a" * 200),
        "document_too_large",
        ("limit is",),
    ),
    "6 tokens": (
        body("{ accounts { totalCount } " + "a " * 2_100 + "}"),
        "document_too_large",
        ("tokens", "2000"),
    ),
    "7 directives": (
        body("{ accounts { totalCount " + "@a " * 400 + "} }"),
        "document_too_large",
        ("directives", "100"),
    ),
    "8 batch": ([body(PLAIN)] * 300, "batch_refused", ()),
    "9 page": (body("{ accounts(first: 100000) { totalCount } }"), "page_size", ("100000", "200")),
    "9 list": (body(IDS, ids=["a"] * 501), "condition_invalid", ("501", "500")),
    "10 pattern": (body(LIKE, p="%a" * 2_000), "condition_invalid", ()),
    "11 introspection": (
        body("{__schema{types" + "{fields{type" * 20 + "{name}" + "}}" * 20 + "}}"),
        "document_too_large",
        ("levels", "limit is"),
    ),
}


ORDER = {name: number for number, name in enumerate(ATTACKS)}


def plain_question(size: int, mark: str) -> dict[str, Any]:
    """Return an ordinary question of so many bytes; `mark` makes it a new one."""
    head, tail = f"{{ accounts(first: 5) {{ nodes {{ id k{mark}: name ", "} } }"
    left = size - len(orjson.dumps(body(head + tail)))
    fields = [f"k{n}x: name " for n in range(FIELDS_MAX)]
    while fields and sum(map(len, fields)) > left:
        fields.pop()
    padding = " " * max(0, left - sum(map(len, fields)))
    return body(head + "".join(fields) + padding + tail)


async def sent(served: Served, what: Any, headers: dict[str, str]) -> tuple[httpx2.Response, float]:
    content = orjson.dumps(what)
    start = time.perf_counter()
    answer = await served.http.post("/graphql", content=content, headers=headers)
    return answer, time.perf_counter() - start


def headers_of(served: Served, email: str = REP) -> dict[str, str]:
    token = served.signer.issue_token("acme", email, 60)
    return {"authorization": f"Bearer {token}", "content-type": "application/json"}


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack_is_refused_with_code_number_and_limit_in_the_time_of_an_answer(
    served: Served, name: str
) -> None:
    what, code, words = ATTACKS[name]
    headers = headers_of(served)
    attacked, answered = [], []
    for number in range(ROUNDS):
        plain = plain_question(len(orjson.dumps(what)), f"{ORDER[name]}x{number}")
        answer, took = await sent(served, plain, headers)
        assert answer.status_code == 200, answer.text
        answered.append(took)
        refused, took = await sent(served, what, headers)
        attacked.append(took)

    (error,) = refused.json()["errors"]
    assert error["extensions"]["code"] == code, error
    assert error["extensions"]["hint"]
    assert all(word in error["message"] for word in words), error
    assert len(refused.content) < 1_000
    assert min(attacked) < SLOWER_MAX * min(answered), (attacked, answered)


async def test_answer_to_many_mistakes_holds_few_errors(served: Served) -> None:
    """Row 7: hundreds of mistakes do not make the answer large."""
    wrong = body("{ accounts { nodes {" + " ".join(f"no{n}" for n in range(500)) + "} } }")
    answer, _ = await sent(served, wrong, headers_of(served))
    assert len(answer.json()["errors"]) <= 10
    assert len(answer.content) < 5_000


async def test_huge_variables_are_refused_before_they_are_read(served: Served) -> None:
    """Row 9: over the limit of a request's bytes."""
    answer, _ = await sent(served, body(IDS, ids=["a" * 100] * 20_000), headers_of(served))
    assert answer.status_code == 413
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "body_too_large"


async def test_nobody_introspects_without_a_token(served: Served) -> None:
    """Row 11: an outsider learns no name."""
    question = {"query": "{ __schema { types { name } } }"}
    answer = await served.http.post("/graphql", json=question)
    assert answer.status_code == 401
    assert "Account" not in answer.text


async def test_field_out_of_sight_is_answered_as_one_that_is_not_there(
    synced: Synced, served: Served
) -> None:
    """Rows 12 and 13: neither suggestion nor difference tells a hidden name from a wrong one."""
    headers = headers_of(served, "stranger@acme.example")
    for there, gone in (("accounts", "acconuts"), ("deals", "daels")):
        found = [
            (await sent(served, body(f'{{ __type(name: "{name}") {{ name }} }}'), headers))[0]
            for name in (there.title()[:-1], gone.title()[:-1])
        ]
        assert found[0].json()["data"] == found[1].json()["data"] == {"__type": None}
        near, _ = await sent(served, body(f"{{ {gone} {{ totalCount }} }}"), headers)
        assert "Did you mean" not in near.text
        assert there not in near.text
