"""Answer, plan, SQL and what was withheld of representative operations, beside each other in files.

A change of permissions or plans shows up as a diff. Write them anew with FIRNLINE_SNAPSHOTS=write.
Each folder holds operation.graphql and access.txt (who asks, then what is withheld), answer.json,
plan.json (as explained) and sql.txt. Where it holds them, too: extensions.json is all that the
answer tells beside the data, explained to a person; parts.json is what follows the answer of a
client that takes parts; policy.json is the builder's policy over the mirrored rights.

`$after` and `$before` of an operation stand for the end and the start of the page that it gives
without them, with `$cursor` true: cursors are sealed anew each time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.graph.parts import parts_of
from tests.graph.policies import with_policy
from tests.graph.world import NOW, World

from firnline.access.principal import Principal
from firnline.cache.bookkeeping import Checkpoint
from firnline.graph.answer import Answer, Question
from firnline.graph.explain.explanation import Detail

FOLDERS = sorted(
    path.parent for path in Path(__file__).parent.glob("snapshots/*/operation.graphql")
)
IS_WRITING = os.environ.get("FIRNLINE_SNAPSHOTS") == "write"
_BREAKS = ("FROM ", "LEFT JOIN ", "WHERE ", "GROUP BY ", "ORDER BY ", "LIMIT ")
_CURSORS = {"$after: ": ("after", "endCursor"), "$before: ": ("before", "startCursor")}


@pytest.fixture(scope="module")
def world(world: World) -> World:
    """Give the world that all tests have, as if its accounts and tickets had just been read."""
    with world.database().transaction() as transaction:
        for number, slot in enumerate((("crm", "accounts"), ("desk", "tickets"))):
            read_at = NOW - timedelta(minutes=5 * number)
            connection, name = slot
            transaction.save_checkpoint(
                Checkpoint(connection=connection, object=name, run="r", completed_at=read_at)
            )
    return world


@pytest.fixture
def asked_world(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Give the world that everybody shares, or one with the folder's own policy."""
    policy = folder / "policy.json"
    if not policy.exists():
        yield request.getfixturevalue("world")
        return
    world = with_policy(tmp_path, orjson.loads(policy.read_bytes()))
    world.responder._mask_key = lambda tenant: hashlib.sha256(tenant.encode()).digest()
    yield world
    world.close()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_operation_answers_and_asks_as_recorded(asked_world: World, folder: Path) -> None:
    text = (folder / "operation.graphql").read_text("utf-8")
    email = (folder / "access.txt").read_text("utf-8").splitlines()[0]
    variables = cursors(asked_world, text, email)

    def asked(**how: Any) -> Answer:
        principal = Principal(tenant="acme", email=email)
        question = Question(text, variables=variables, **how)
        return asked_world.runner.run(asked_world.responder.answer(principal, question))

    answer = asked()
    assert not answer.errors
    # Root fields are answered side by side, so theirs come in any order.
    statements = sorted(answer.statements) if len(answer.data or ()) > 1 else answer.statements
    withheld = [
        f"{note['coordinate']} {note['effect']} by {note['source']}: {note['reason']}"
        for note in answer.extensions["access"]
    ]
    explained = asked(explain=Detail.OPERATOR)
    assert explained.content == answer.content
    plan = sorted(map(without_statements, explained.extensions["explain"]["fields"]), key=repr)
    files = {
        "plan.json": as_json(plan),
        "answer.json": as_json(answer.data),
        "sql.txt": "\n".join(laid_out(sql, rows) for sql, rows in statements),
        "access.txt": "\n".join([email, *withheld]) + "\n",
    }
    if (folder / "extensions.json").exists():
        told = dict(asked(explain=Detail.PERSON).extensions)
        told["explain"]["sources"] = with_ranks(told["explain"]["sources"])
        files["extensions.json"] = as_json(told)
    if (folder / "parts.json").exists():
        files["parts.json"] = as_json(
            asked_world.runner.run(parts_of(asked_world, email, Question(text, takes_parts=True)))
        )
    for name, content in files.items():
        if IS_WRITING:
            (folder / name).write_text(content, "utf-8")
        assert (folder / name).read_text("utf-8") == content


def cursors(world: World, text: str, email: str) -> Mapping[str, Any] | None:
    """Return the variables of an operation that goes on from its own first or last page."""
    wanted = [names for declared, names in _CURSORS.items() if declared in text]
    if not wanted:
        return None
    ((variable, cursor),) = wanted
    (root,) = world.data(text, email, variables={"cursor": True}).values()
    return {variable: root["pageInfo"][cursor]}


def with_ranks(sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return sources with their versions in order: versions start anywhere in each file."""
    versions = sorted(each["version"] for each in sources.values())
    return {
        name: each | {"version": versions.index(each["version"])} for name, each in sources.items()
    }


def as_json(facts: Any) -> str:
    return orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode() + "\n"


def without_statements(plan: Any) -> Any:
    """Return a plan without what sql.txt tells, and without times."""
    if isinstance(plan, list):
        return list(map(without_statements, plan))
    if not isinstance(plan, dict):
        return plan
    return {
        name: without_statements(each)
        for name, each in plan.items()
        if name not in ("statements", "milliseconds")
    }


def laid_out(sql: str, rows: int) -> str:
    for word in _BREAKS:
        sql = sql.replace(f" {word}", f"\n  {word}")
    return f"{sql}\n-- {rows} rows\n"
