"""A right that is removed ends over HTTP with the sync that says so, whatever was kept before.

Answers that were kept, columns in memory, compiled plans of published operations, tags and cursors
that clients hold were all made under the old right. After the change the running server must answer
as one that was started after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.graph.rights import grant
from tests.graph.served import Served, serving
from tests.graph.world import CATALOGS, PEOPLE, World, arrow, draw_run, seeded, seen

from firnline.access.model import FieldIn, Nothing, ObjectAccess

EMAIL = "masked@x.test"
_TEXTS = {
    "page": "{ deals(first: 4) { totalCount nodes { id title } pageInfo { endCursor } } }",
    "rows": "{ deals(first: 200) { nodes { id title probability stage } } }",
    "counts": "{ deals { aggregate { count min { title } max { title } } } }",
    "groups": "{ deals { groupBy(by: [{stage: VALUE}]) { key { stage } aggregate { count } } } }",
    "filter": '{ deals(where: {title: {startsWith: "A"}}) { totalCount } }',
    "sort": "{ deals(first: 9, orderBy: [{title: DESC}]) { nodes { id } } }",
    "through": "{ accounts(first: 50) { nodes { id deals { totalCount nodes { title } } } } }",
    "related": '{ accounts(where: {deals: {some: {stage: {eq: "1"}}}}) { nodes { id } } }',
    "record": '{ deal(id: "d01") { id title account { name } } other: deal(id: "d02") { title } }',
    "search": '{ _search(text: "deal") { coordinate example } }',
    "values": '{ _values(coordinate: "Deal.stage") { value label } }',
    "names": '{ __type(name: "Deal") { fields { name } } }',
}
OPERATIONS = {name: f"query {name} {text}" for name, text in _TEXTS.items()}
BY_KEY = """query E($r: [_Any!]!) {
  _entities(representations: $r) { ... on Deal { id title } } }"""
KEYS = {"r": [{"__typename": "Deal", "id": f"d{number:02d}"} for number in range(1, 9)]}
FOLLOWING = "query F($c: String) { deals(first: 50, after: $c) { nodes { id title } } }"

REMOVALS: Mapping[str, ObjectAccess | None] = {
    "records": seen(FieldIn("owner_id", frozenset({"u4"})), amount="finance only"),
    "every record": seen(Nothing()),
    "a field": seen(title="no longer", amount="finance only"),
    "the object": ObjectAccess(reason="no longer"),
    "everything": None,
}


@pytest.fixture
def home(connectors: None, tmp_path: Path) -> Iterator[Path]:
    """Give a home with a tenant's data."""
    world = World.open(tmp_path)
    world.fill(seeded())
    world.close()
    yield tmp_path


async def write_rights(served: Served, rights: Mapping[str, ObjectAccess]) -> None:
    """Let a sync bring other rights of the person."""
    rows = seeded()
    for place in (("crm", "grants"), ("desk", "grants")):
        others = [row for row in rows[place] if row["email"] != EMAIL]
        own = [
            grant(EMAIL, name, access)
            for name, access in rights.items()
            if (name == "tickets") is (place[0] == "desk")
        ]
        await asyncio.to_thread(_store, await served.app.database("acme"), place, others + own)


def _store(database: Any, place: tuple[str, str], rows: list[dict[str, Any]]) -> None:
    connection, name = place
    object_ = CATALOGS[connection].by_name[name]
    run = f"later-{draw_run()}"
    with database.transaction() as transaction:
        transaction.upsert(connection, object_, arrow(object_, rows), run=run)
        transaction.sweep(connection, object_, run=run)


async def told(served: Served, ids: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer to everything, by id and by text."""
    answers: dict[str, Any] = {}
    for name, text in OPERATIONS.items():
        by_id = await served.post("acme", EMAIL, {"documentId": ids[name]})
        by_text = await served.post("acme", EMAIL, {"query": text})
        by_get = await served.get("acme", EMAIL, ids[name])
        answers[name] = settled(by_id.json())
        assert answers[name] == settled(by_text.json()) == settled(by_get.json()), name
    answers["keys"] = settled(
        (await served.post("acme", EMAIL, {"query": BY_KEY, "variables": KEYS})).json()
    )
    return answers


def settled(answer: dict[str, Any]) -> Any:
    """Return data, errors and access notes; cursors are sealed anew each time."""
    extensions = answer.get("extensions") or {}
    page = (answer.get("data") or {}).get("deals")
    if isinstance(page, dict) and "pageInfo" in page:
        page.pop("pageInfo")
    return answer.get("data"), answer.get("errors"), extensions.get("access")


@pytest.mark.parametrize("kind", REMOVALS)
async def test_removed_right_ends_in_everything_that_was_kept_or_given_out(
    home: Path, kind: str
) -> None:
    async with serving(home) as served:
        ids = {
            name: (await served.app.publish("acme", text)).operation_id
            for name, text in OPERATIONS.items()
        }
        await told(served, ids)
        await served.app.askers.write()
        await served.app.warm()
        await served.app.responder.loading.idle()
        before = await told(served, ids)  # from what was kept, loaded and compiled
        tags = {}
        for name, operation_id in ids.items():
            tags[name] = (await served.get("acme", EMAIL, operation_id)).headers.get("etag", "")
        known = [name for name, tag in tags.items() if tag]
        for name in known:
            same = await served.get("acme", EMAIL, ids[name], known=tags[name])
            assert same.status_code == 304, name
        page = (await served.post("acme", EMAIL, {"documentId": ids["page"]})).json()
        cursor = page["data"]["deals"]["pageInfo"]["endCursor"]

        left = REMOVALS[kind]
        others = {} if kind == "everything" else dict(PEOPLE[EMAIL])
        others.pop("deals", None)
        await write_rights(served, others if left is None else {**others, "deals": left})

        unmodified = [
            name
            for name in known
            if (await served.get("acme", EMAIL, ids[name], known=tags[name])).status_code == 304
        ]
        following = {"query": FOLLOWING, "variables": {"c": cursor}}
        rest = settled((await served.post("acme", EMAIL, following)).json())
        after = await told(served, ids)

    async with serving(home) as fresh:
        assert after == await told(fresh, ids)
        rest_anew = settled((await fresh.post("acme", EMAIL, following)).json())
    assert rest == rest_anew
    changed = [name for name in before if before[name] != after[name]]
    assert {"rows", "keys"} <= set(changed)
    assert known and not set(unmodified) & set(changed), "an old tag stands for an old right"
