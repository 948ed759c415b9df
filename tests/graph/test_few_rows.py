"""Whoever sees few records gets them from memory as from DuckDB, without a look at all others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.graph.rights import grant
from tests.graph.world import CATALOGS, Rows, World, seeded, seen

from firnline.access.model import FieldIn, Nothing, RowRule
from firnline.graph.memory.tables import ResidentTables

QUERIES = (
    "{ accounts(orderBy: [{name: ASC}], first: 2) { nodes { id name } pageInfo { hasNextPage } } }",
    "{ accounts(orderBy: [{rating: DESC}, {name: DESC}]) { nodes { id } totalCount } }",
    '{ accounts(where: {segment: {eq: "enterprise"}}) { nodes { id } totalCount } }',
    '{ accounts(where: {name: {eq: "nobody"}, rating: {gte: 1}}) { nodes { id } totalCount } }',
    "{ accounts(where: {rating: {gte: 2}}) { nodes { id deals(first: 2) { totalCount } } } }",
    "{ accounts(where: {deals: {some: {amount: {gt: 1}}}}) { nodes { id } totalCount } }",
)
FEW = FieldIn("id", frozenset({"a1", "a5", "a9"}))


def _rows(rule: RowRule) -> Rows:
    rows = seeded()
    mine = [grant("few@x.test", name, seen()) for name in ("deals", "users")]
    rows["crm", "grants"] = [
        *rows["crm", "grants"],
        *mine,
        grant("few@x.test", "accounts", seen(rule)),
    ]
    return rows


@pytest.mark.parametrize("rule", [FEW, Nothing()], ids=["few", "none"])
def test_few_rows_answer_as_duckdb_does(connectors: None, tmp_path: Path, rule: RowRule) -> None:
    """Pages, orders with ties, counts and related records; a rule that changes is seen at once."""
    world = World.open(tmp_path)
    try:
        world.fill(_rows(rule))
        expected = [world.data(query, "few@x.test") for query in QUERIES]
        world.resident = ResidentTables(1 << 28)
        world.renew()
        assert [world.data(query, "few@x.test") for query in QUERIES] == expected
        assert [world.data(query, "few@x.test") for query in QUERIES] == expected
        assert any(len(list(table.few.values())) for table in world.resident._tables.values()), (
            "none was used"
        )

        wider = FieldIn("id", frozenset({"a1", "a5", "a9", "a2"}))
        world.write({("crm", "grants"): _rows(wider)["crm", "grants"]}, catalogs=CATALOGS)

        first, *_ = world.data("{ accounts { totalCount } }", "few@x.test").values()
        assert first == {"totalCount": 4}
        ids = {each["id"] for each in world.data(QUERIES[1], "few@x.test")["accounts"]["nodes"]}
        assert ids == {"a1", "a5", "a9", "a2"}
    finally:
        world.close()
