"""The explanation of a right agrees with what the person is answered."""

from __future__ import annotations

from typing import Any

import pytest
from tests.graph.world import NOW, PEOPLE, World

from firnline.access.model import AllOf, FieldIn, Listed, Nothing
from firnline.access.principal import Principal
from firnline.graph.explain.access import AccessExplainer, NothingToExplainError
from firnline.graph.explain.rule_words import in_words
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.session import LazySnapshot, Session


def explained(world: World, email: str, type_name: str, **more: str) -> dict[str, Any]:
    async def look() -> Any:
        graph = await world.graphs.graph("acme")
        async with Session(world.database()) as session:

            def work(snapshot: LazySnapshot) -> dict[str, Any]:
                decisions = world.graphs.decisions(graph, Principal("acme", email), snapshot)
                context = GraphContext(
                    principal=Principal("acme", email),
                    graph=graph,
                    decisions=decisions,
                    now=NOW,
                    resolve=unexecuted,
                    freshness=dict,
                )
                return AccessExplainer(context, snapshot).explain(type_name, **more)

            return await session.run(work)

    found: dict[str, Any] = world.runner.run(look())
    return found


@pytest.mark.parametrize("email", PEOPLE)
def test_record_is_said_to_be_visible_where_it_is_answered(world: World, email: str) -> None:
    for key in ("a1", "a2", "a7", "gone"):
        answer = world.data(f'{{ crm {{ accounts_by_key(id: "{key}") {{ id }} }} }}', email)
        is_seen = answer["crm"]["accounts_by_key"] is not None
        facts = explained(world, email, "Crm_accounts", record=key)
        record = facts.get("record", {"visibleAtSource": False, "visible": False, "rules": []})
        assert record["visibleAtSource"] is is_seen, facts
        assert record["visible"] is is_seen, facts
        if len(record["rules"]) > 1:
            assert record["visibleAtSource"] is any(each["holds"] for each in record["rules"])


def test_denied_object_and_hidden_field_carry_the_sources_reason(world: World) -> None:
    denied = explained(world, "denied@x.test", "Account")
    assert (denied["readable"], denied["decidedBy"]) == (False, "crm")
    assert denied["reason"]
    field = explained(world, "masked@x.test", "Account", field="revenue")["field"]
    assert (field["readable"], field["decidedBy"]) == (False, "crm")
    assert explained(world, "all@x.test", "Account", field="revenue")["field"]["readable"]


def test_what_does_not_exist_is_not_explained(world: World) -> None:
    for type_name, more in (("Nope", {}), ("Account", {"field": "nope"})):
        with pytest.raises(NothingToExplainError):
            explained(world, "all@x.test", type_name, **more)


def test_rule_is_told_in_words() -> None:
    values = frozenset(f"u{n}" for n in range(7))
    rule = AllOf(
        (FieldIn("OwnerId", values), Listed("Share", "RecordId", "UserId", frozenset("u")))
    )
    assert in_words(rule) == (
        "(OwnerId is one of u0, u1, u2, u3, u4 and 2 more) and "
        "(Share lists it (RecordId) for UserId one of u)"
    )
    assert in_words(Nothing()) == "no record"
