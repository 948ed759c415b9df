"""Answer, plan, SQL and what was withheld of representative operations, beside each other in files.

A change of permissions or plans shows up as a diff. Write them anew with FIRNLINE_SNAPSHOTS=write.
Each folder holds operation.graphql and access.txt (who asks, then what is withheld), answer.json,
plan.json (as explained) and sql.txt.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.graph.world import World

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.explain.explanation import Detail

FOLDERS = sorted(
    path.parent for path in Path(__file__).parent.glob("snapshots/*/operation.graphql")
)
IS_WRITING = os.environ.get("FIRNLINE_SNAPSHOTS") == "write"
_BREAKS = ("FROM ", "LEFT JOIN ", "WHERE ", "GROUP BY ", "ORDER BY ", "LIMIT ")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_operation_answers_and_asks_as_recorded(world: World, folder: Path) -> None:
    text = (folder / "operation.graphql").read_text("utf-8")
    email = (folder / "access.txt").read_text("utf-8").splitlines()[0]

    answer = world.answer(text, email)

    assert not answer.errors
    # Root fields are answered side by side, so theirs come in any order.
    statements = sorted(answer.statements) if len(answer.data or ()) > 1 else answer.statements
    withheld = [
        f"{note['coordinate']} {note['effect']} by {note['source']}: {note['reason']}"
        for note in answer.extensions["access"]
    ]
    principal = Principal(tenant="acme", email=email)
    question = Question(text, explain=Detail.OPERATOR)
    explained = world.runner.run(world.responder.answer(principal, question))
    assert explained.content == answer.content
    plan = sorted(map(without_statements, explained.extensions["explain"]["fields"]), key=repr)
    files = {
        "plan.json": orjson.dumps(plan, option=orjson.OPT_INDENT_2).decode() + "\n",
        "answer.json": orjson.dumps(answer.data, option=orjson.OPT_INDENT_2).decode() + "\n",
        "sql.txt": "\n".join(laid_out(sql, rows) for sql, rows in statements),
        "access.txt": "\n".join([email, *withheld]) + "\n",
    }
    for name, content in files.items():
        if IS_WRITING:
            (folder / name).write_text(content, "utf-8")
        assert (folder / name).read_text("utf-8") == content


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
