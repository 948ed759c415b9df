"""Two tenants of equal shape, asked at once by one server: nothing of one reaches the other.

They share a graph, a schema and compiled operations. Every text that a tenant stores carries its
own canary; answers, errors, logs and cache files of the other must never hold it.
"""

from __future__ import annotations

import asyncio
import logging
import random

import pytest
from tests.graph.world import PEOPLE, Row, Rows, World, seeded

from firnline.access.principal import Principal
from firnline.errors import FirnlineError
from firnline.graph.answer import Question
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.respond import Responder

CANARIES = {"acme": "canaryofacme", "beta": "canaryofbeta"}
CANARY_FIELDS = {
    "accounts": ("name", "nickname", "region"),
    "deals": ("title", "secret"),
    "tickets": ("subject",),
    "users": ("name",),
}
QUESTIONS_PER_TENANT = 150


def marked(tenant: str) -> Rows:
    """Return the same rows for every tenant, but for the tenant's canary in each text."""

    def row_of(name: str, row: Row) -> Row:
        fields = CANARY_FIELDS.get(name, ())
        return {**row, **{each: f"{CANARIES[tenant]} {row[each]}" for each in fields}}

    return {
        (connection, name): [row_of(name, row) for row in rows]
        for (connection, name), rows in seeded().items()
    }


def question(tenant: str, draw: random.Random) -> Question:
    """Return one question of the tenant: the same texts, with the tenant's own values in them."""
    word = CANARIES[tenant]
    text, variables = draw.choice(
        (
            ("{ accounts(first: 50) { nodes { id name region deals { nodes { title } } } } }", {}),
            (
                "query D($t: String!, $n: Int!) { deals(where: {title: {startsWith: $t}},"
                " first: $n) { totalCount nodes { id title account { name } } } }",
                {"t": word, "n": draw.choice((1, 3, 7))},
            ),
            ("{ deals { aggregate { count min { title } max { title } } } }", {}),
            ("{ tickets(first: 9) { nodes { subject account { name } } } }", {}),
            ("query A($id: ID!) { account(id: $id) { name ownerName } }", {"id": "a1"}),
            ("query S($t: String!) { _search(text: $t) { coordinate example } }", {"t": word}),
            (f'{{ deals(where: {{title: {{eq: "{word}"}}}}) {{ nodes {{ nosuch }} }} }}', {}),
            ("query C($c: String) { deals(after: $c) { nodes { id } } }", {"c": word}),
            (f"{{ {word} }}", {}),
        )
    )
    return Question(text, None, variables, None)


@pytest.mark.parametrize("loads_behind", [False, True])
def test_nothing_of_a_tenant_reaches_another_under_concurrent_load(
    own_world: World, caplog: pytest.LogCaptureFixture, loads_behind: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    for tenant in CANARIES:
        own_world.fill(marked(tenant), tenant)
    responder = Responder(
        own_world.graphs,
        databases=own_world._database,
        operations=own_world.state,
        seal=CursorSeal(b"k" * 32),
        clock=own_world.clock,
        resident=ResidentTables(1 << 28),
        kept_bytes=1 << 22,
        loads_behind=loads_behind,
    )
    draw = random.Random(11)
    emails = sorted(PEOPLE)
    said: dict[str, list[bytes]] = {tenant: [] for tenant in CANARIES}

    async def ask(tenant: str, email: str, asked: Question) -> None:
        try:
            answer = await responder.answer(Principal(tenant=tenant, email=email), asked)
            said[tenant].append(answer.body())
        except FirnlineError as error:
            said[tenant].append(f"{error!r} {error.hint}".encode())

    async def load() -> None:
        asks = [
            (tenant, draw.choice(emails), question(tenant, draw))
            for tenant in CANARIES
            for _ in range(QUESTIONS_PER_TENANT)
        ]
        draw.shuffle(asks)
        for start in range(0, len(asks), 30):
            await asyncio.gather(*(ask(*each) for each in asks[start : start + 30]))
        await responder.loading.close()

    own_world.runner.run(load())

    for tenant, other in (("acme", "beta"), ("beta", "acme")):
        bodies = b"\n".join(said[tenant])
        assert bodies.count(CANARIES[tenant].encode()) > 100
        assert CANARIES[other].encode() not in bodies
    for canary in CANARIES.values():
        assert canary not in caplog.text, "stored values do not belong in logs"
    _check_files(own_world)


def _check_files(world: World) -> None:
    for database in world.databases.values():
        database.close()
    world.databases.clear()
    for path in world.home.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            for tenant, canary in CANARIES.items():
                if not path.name.startswith(tenant):
                    assert canary.encode() not in held, f"{path.name} holds data of {tenant}"
    own = (world.home / "cache" / "acme.duckdb").read_bytes()
    assert CANARIES["acme"].encode() in own, "a search that could find nothing proves nothing"
