"""Conditions over related records, decided by columns in memory as DuckDB decides them."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.graph.asking import literal, wheres
from tests.graph.reference import LIST_FIELDS
from tests.graph.rights import grant
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.test_compiled import Counted, plainly, with_kept_answers
from tests.graph.world import NOW, PEOPLE, PROJECT, World, seeded, seen

from firnline.access.model import FieldIn
from firnline.clock import FixedClock
from firnline.graph.memory.tables import ResidentTables

pytestmark = PATIENCE


@pytest.fixture(scope="module")
def is_resident() -> bool:
    """Keep columns in memory."""
    return True


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Count whole executions."""
    return Counted(monkeypatch)


@pytest.fixture
def memory(own_world: World) -> World:
    """Give a world of the test's own whose columns are in memory."""
    own_world.resident = ResidentTables(1 << 28)
    own_world.renew()
    own_world.fill(seeded())
    return own_world


def same_as_duckdb(
    world: World, text: str, email: str = "all@x.test", variables: dict[str, Any] | None = None
) -> bool:
    """Compare both ways; say whether memory alone answered."""
    answer = world.answer(text, email, variables)
    assert (answer.data, answer.errors, answer.extensions) == plainly(
        world, text, email, variables or {}
    ), (text, email, variables)
    return not answer.statements and not answer.errors


DECIDED = (
    "{deals: {some: {amount: {gt: 2}}}}",
    "{deals: {none: {amount: {gt: 2}}}}",
    "{deals: {every: {amount: {gt: 2}}}}",
    "{deals: {every: {}}}",
    "{deals: {none: {}}}",
    "{not: {deals: {every: {stage: {in: []}}}}}",
    "{deals: {where: {quantity: {isNull: true}}}}",
    "{deals: {aggregate: {count: {eq: 0}}}}",
    "{deals: {aggregate: {count: {isNull: true}}}}",
    '{deals: {where: {stage: {neq: "won"}}, aggregate: {count: {gt: 0, lte: 2}}}}',
    '{deals: {aggregate: {max: {closesOn: {lt: "2026-11-01"}}}}}',
    '{not: {deals: {aggregate: {max: {closesOn: {lt: "2026-11-01"}}}}}}',
    "{deals: {aggregate: {min: {amount: {isNull: true}}}}}",
    "{deals: {aggregate: {min: {amount: {notIn: []}}, max: {amount: {lt: 20}}}}}",
    '{deals: {aggregate: {max: {updatedAt: {gte: "now-2d"}}}}}',
    '{deals: {where: {updatedAt: {lt: "now-1d"}}, aggregate: {count: {gte: 1}}}}',
    '{parent: {name: {neq: "Alp"}}}',
    '{not: {parent: {name: {neq: "Alp"}}}}',
    '{not: {name: {eq: "x"}}}',
    "{parent: {}}",
    "{not: {parent: {}}}",
    "{parent: {parent: {deals: {some: {amount: {gt: 1}}}}}}",
    "{peers: {some: {rating: {gt: 3}}}}",
    "{sized: {every: {satisfaction: {gt: 0}}}}",
    "{tickets: {some: {account: {deals: {some: {}}}}}}",
    "{or: [{revenue: {gt: 5}}, {rating: {lt: 3}}, {not: {isActive: {eq: true}}}]}",
    "{or: []}",
    "{and: []}",
    "{not: {or: [{}, {name: {isNull: true}}]}}",
    "{and: [{rating: {gt: 1}}, {or: [{isActive: {eq: true}}, {deals: {none: {}}}]}]}",
    '{segment: {eq: "small"}, deals: {some: {account: {segment: {eq: "small"}}}}}',
    "{rating: {in: []}}",
    "{not: {rating: {in: []}}}",
    "{not: {rating: {notIn: []}}}",
)


@pytest.mark.parametrize("where", DECIDED)
def test_condition_is_decided_in_memory_as_duckdb_decides_it_for_everybody(
    world: World, where: str
) -> None:
    """Twice each: what was worked out for one person is there for the next."""
    text = f"{{ accounts(where: {where}, first: 200) {{ totalCount nodes {{ id }} }} }}"
    for _ in range(2):
        alone = [email for email in sorted(PEOPLE) if same_as_duckdb(world, text, email)]
        assert "all@x.test" in alone


@settings(
    max_examples=3_000 if IS_LONG else 150,
    deadline=None,
    derandomize=not IS_LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data(), email=st.sampled_from(sorted(PEOPLE)))
def test_any_condition_is_decided_as_duckdb_decides_it(
    world: World, data: st.DataObject, email: str
) -> None:
    kind = data.draw(st.sampled_from(sorted(LIST_FIELDS)))
    where = data.draw(wheres(kind, 3))
    asked = f"{LIST_FIELDS[kind]}(where: {literal(where)}, first: 200)"
    same_as_duckdb(world, f"{{ {asked} {{ totalCount nodes {{ id }} }} }}", email)


def test_much_of_what_is_drawn_at_random_is_decided_in_memory(world: World) -> None:
    """Guards the test above: it would hold, too, if DuckDB answered all of it."""
    alone: list[bool] = []

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(where=wheres("Account", 3).filter(_is_related))
    def draw(where: dict[str, Any]) -> None:
        text = f"{{ accounts(where: {literal(where)}, first: 200) {{ nodes {{ id }} }} }}"
        alone.append(not world.answer(text).statements)

    draw()
    assert sum(alone) > len(alone) / 4


def _is_related(where: dict[str, Any]) -> bool:
    return not {"deals", "tickets", "children", "parent", "peers", "sized"}.isdisjoint(where)


NESTED = """query ($least: Decimal, $most: Int, $stages: [String!], $before: Date, $n: Int) {
  accounts(first: $n, where: {
    or: [{deals: {some: {amount: {gte: $least}, stage: {in: $stages}}}}, {rating: {gt: $most}}]
    not: {deals: {where: {amount: {lt: $least}}, aggregate: {count: {gt: $most}
                                                             max: {closesOn: {gt: $before}}}}}
  }) { totalCount nodes { id deals(where: {account: {rating: {lte: $most}}}) { totalCount } } }
}"""
ROUNDS: tuple[dict[str, Any], ...] = (
    {"least": "1", "most": 1, "stages": ["open"], "before": "2026-10-01", "n": 50},
    {"least": "3.75", "most": 2, "stages": ["open", "won"], "before": "2026-11-01", "n": 50},
    {"least": "-1", "most": 0, "stages": [], "before": "today-30d", "n": 50},
    {"least": "20", "most": 4, "stages": ["none"], "before": "today+300d", "n": 50},
)


def test_operands_at_any_depth_may_have_other_values_in_the_same_plan(
    memory: World, executed: Counted
) -> None:
    counts = []
    for variables in ROUNDS:
        before = executed.number
        answer = memory.answer(NESTED, "all@x.test", variables)
        counts.append(executed.number - before)
        plain = plainly(memory, NESTED, "all@x.test", variables)
        assert (answer.data, answer.errors) == plain[:2]
    assert counts == [1, 0, 0, 0]


def test_operation_over_related_records_asked_again_answers_as_duckdb_does(memory: World) -> None:
    changed = seeded()
    changed["crm", "deals"] = [dict(row, amount=None) for row in changed["crm", "deals"][:30]]
    for rows in (seeded(3), changed, {("desk", "tickets"): seeded()["desk", "tickets"][:9]}):
        memory.write(rows)
        for email in sorted(PEOPLE):
            for variables in (*ROUNDS, {**ROUNDS[0], "least": None}):
                same_as_duckdb(memory, NESTED, email, variables)
                short = {name: value for name, value in variables.items() if name != "most"}
                same_as_duckdb(memory, NESTED, email, short)


def test_wrong_value_deep_in_a_condition_is_refused_by_a_compiled_operation(memory: World) -> None:
    assert same_as_duckdb(memory, NESTED, variables=ROUNDS[0])
    for wrong in ({"stages": ["x"] * 501}, {"before": "whenever"}, {"least": "much"}):
        answer = memory.ask(NESTED, variables={**ROUNDS[0], **wrong})
        assert answer["errors"]


def test_cursor_of_a_condition_with_variables_leads_on_and_belongs_to_their_values(
    memory: World,
) -> None:
    text = """query ($least: Decimal, $after: String) {
      accounts(where: {deals: {some: {amount: {gte: $least}}}}, first: 3, after: $after) {
        nodes { id } pageInfo { endCursor hasNextPage } } }"""
    for least in ("1", "2", "1"):
        page = memory.data(text, variables={"least": least})["accounts"]
        after = {"least": least, "after": page["pageInfo"]["endCursor"]}
        more = memory.data(text, variables=after)["accounts"]
        whole = memory.data(text.replace("first: 3", "first: 6"), variables={"least": least})
        assert page["nodes"] + more["nodes"] == whole["accounts"]["nodes"]
        other = memory.ask(text, variables={**after, "least": "17"})
        assert other["errors"]


def test_relative_time_in_a_condition_is_that_of_the_question(memory: World) -> None:
    text = """{ accounts(where: {deals: {where: {updatedAt: {lt: "now-1d"}}
                                         aggregate: {count: {gt: 0}}}}) { totalCount } }"""
    later = text.replace("now-1d", "now-400d")
    assert same_as_duckdb(memory, text)
    found = memory.data(text)["accounts"]["totalCount"]
    assert found > memory.data(later)["accounts"]["totalCount"] == 0
    memory.clock = FixedClock(NOW + timedelta(days=400))
    memory.renew()  # what is in memory stays there
    assert same_as_duckdb(memory, later)
    assert memory.data(later)["accounts"]["totalCount"] >= found


def test_condition_is_loaded_behind_the_first_answer(memory: World) -> None:
    text = """{ accounts(where: {deals: {aggregate: {count: {gt: 1}}}, parent: {name: {neq: "x"}}})
                { nodes { id } } }"""
    with_kept_answers(memory, loads_behind=True)
    counts = []
    for _ in range(3):
        counts.append(len(memory.answer(text).statements))
        memory.runner.run(memory.responder.loading.idle())
    assert counts == [1, 0, 0]


def test_field_that_goes_by_todays_date_is_that_of_the_day_it_is_asked_on(
    connectors: None, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project)
    spec = project / "firnline.yaml"
    text = spec.read_text("utf-8")
    plain = "{when: {tier: {eq: A}, rating: {gte: 3}}}"
    assert text.count(plain) == 1
    spec.write_text(text.replace(plain, "{when: {founded: {lt: today-20y}}}"), "utf-8")
    memory = World.open(tmp_path / "home", project)
    memory.resident = ResidentTables(1 << 26)
    memory.renew()
    memory.fill(seeded())
    counts = []
    for days in (0, 0, 1500, 3000, 0):
        memory.clock = FixedClock(NOW + timedelta(days=days))
        with_kept_answers(memory)  # and what is kept answers no other day's question
        query = "{ accounts(where: {isKey: {eq: true}}) { totalCount nodes { isKey name } } }"
        for _ in range(3):
            answer = memory.answer(query)
            assert not answer.statements
            assert not answer.is_kept
            assert answer.data == plainly(memory, query, "all@x.test", {})[0]
        counts.append(answer.data["accounts"]["totalCount"])
    memory.close()
    assert counts[0] == counts[1] == counts[4] < counts[2] < counts[3]


AGGREGATE = """query ($most: Int) { accounts(where: {rating: {lt: $most}}, first: 3) {
  aggregate { count max { name createdAt foundedOn rating } min { name revenue } sum { revenue } }
  nodes { id deals(where: {quantity: {lt: $most}}) {
    aggregate { __typename count sum { amount big quantity } max { updatedAt probability amount }
      least: min { __typename closesOn title } } } } } }"""


def test_counts_sums_and_extremes_are_worked_out_in_memory_for_everybody(memory: World) -> None:
    alone = [
        email
        for email in sorted(PEOPLE)
        for most in (3, 0, 6, -9)
        if same_as_duckdb(memory, AGGREGATE, email, {"most": most})
    ]
    assert alone.count("all@x.test") == 4


def test_sum_that_only_duckdb_can_hold_is_left_to_it(memory: World) -> None:
    rows = seeded()
    huge = [dict(row, big=2**63 - 1) for row in rows["crm", "deals"]]
    memory.write({("crm", "deals"): huge})
    text = "{ deals { aggregate { sum { big } } } }"
    assert not same_as_duckdb(memory, text)
    assert same_as_duckdb(memory, "{ deals { aggregate { sum { amount } } } }")


@pytest.mark.parametrize("where", ["{stage: {neq: trash}}", "{account_id.region: {neq: West}}"])
def test_members_are_not_told_to_who_may_not_know_what_makes_them_members(
    connectors: None, tmp_path: Path, where: str
) -> None:
    """They are told by a field or by another record, which others may read who asked before."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project)
    spec = project / "firnline.yaml"
    text = spec.read_text("utf-8")
    assert text.count("{stage: {neq: trash}}") == 1
    spec.write_text(text.replace("{stage: {neq: trash}}", where), "utf-8")
    memory = World.open(tmp_path / "home", project)
    memory.resident = ResidentTables(1 << 26)
    memory.renew()
    rows = seeded()
    few = FieldIn("tier", frozenset({"A"}))
    rows["crm", "grants"] += [
        grant("stageless@x.test", "accounts", seen()),
        grant("stageless@x.test", "deals", seen(stage="nobody")),
        grant("few@x.test", "accounts", seen(few)),
        grant("few@x.test", "deals", seen()),
    ]
    memory.fill(rows)
    for text in (
        "{ deals { totalCount nodes { id } } }",
        "{ accounts(where: {deals: {some: {}}}) { totalCount } }",
        "{ accounts { nodes { deals { nodes { id } } } } }",
    ):
        for email in ("all@x.test", "stageless@x.test", "few@x.test", "all@x.test"):
            same_as_duckdb(memory, text, email)
    memory.close()
