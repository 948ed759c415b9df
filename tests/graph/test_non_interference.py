"""What a person may not see changes nothing of what they are answered, not by one byte.

For each person the hidden part of a tenant is scrambled: other values in records and fields that
they may not see, such records added and removed. A battery of operations is then answered from both
tenants. Cursors (sealed anew each time), freshness and times are left aside, floating-point results
compared to twelve digits.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.connectors.row_rules import visible_keys
from tests.graph.asking import Writer, asks
from tests.graph.reference import LIST_FIELDS
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.world import CATALOGS, PEOPLE, Row, Rows, World, seeded

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.cursor import CursorSeal
from firnline.graph.explain.explanation import Detail
from firnline.graph.respond import Responder

pytestmark = PATIENCE
OPEN, SCRAMBLED = "acme", "beta"
ROWS = seeded()
EXPOSED = [place for place in ROWS if place[1] not in ("grants", "shares")]
OPERATIONS = 500 if IS_LONG else 20


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold this both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


class Sights:
    """Which records of some rows a person may see."""

    def __init__(self, email: str) -> None:
        self.rights = PEOPLE[email]

    def of(self, rows: Rows) -> dict[tuple[str, str], set[str]]:
        found = {}
        for connection, name in EXPOSED:
            tables: dict[str, Mapping[str, Row]] = {
                table: {row["id"]: row for row in records}
                for (owner, table), records in rows.items()
                if owner == connection
            }
            access = self.rights.get(name)
            readable = access is not None and access.readable
            found[connection, name] = (
                visible_keys(access.rows, name, tables, CATALOGS[connection])
                if access is not None and readable
                else set()
            )
        return found

    def hidden(self, name: str) -> set[str]:
        access = self.rights.get(name)
        return set(access.hidden) if access is not None else set()


def scrambled(email: str, seed: int) -> Rows:
    """Return rows that differ from ROWS in most of what the person may not see, and only there."""
    draw = random.Random(seed)
    sights = Sights(email)
    seen = sights.of(ROWS)
    rows = copy.deepcopy(ROWS)
    changes = 0
    for place in EXPOSED:
        connection, name = place
        kinds = {each.name: each.type for each in CATALOGS[connection].by_name[name].fields}
        for at in range(len(rows[place]) - 1, -1, -1):
            row = rows[place][at]
            fields = sights.hidden(name) if row["id"] in seen[place] else set(kinds)
            for field in sorted(fields - {"id"}):
                # One at a time: a value on which somebody's visibility rests stays as it is.
                before = row[field]
                row[field] = _other(kinds[field], before, draw)
                if sights.of(rows) == seen:
                    changes += row[field] != before
                else:
                    row[field] = before
            if row["id"] not in seen[place] and draw.random() < 0.4:
                taken = rows[place].pop(at)
                if sights.of(rows) != seen:
                    rows[place].insert(at, taken)
                else:
                    changes += 1
        for number in range(9):
            model = draw.choice(ROWS[place])
            rows[place].append({**model, "id": f"zz{number}"})
            if sights.of(rows) != seen:
                rows[place].pop()
            else:
                changes += 1
    everything = all(
        seen[place] == {row["id"] for row in ROWS[place]} and not sights.hidden(place[1])
        for place in EXPOSED
    )
    assert changes > 20 or everything, f"hardly anything is hidden from {email}"
    return rows


def _other(kind: str, value: Any, draw: random.Random) -> Any:
    if value is None or draw.random() < 0.15:
        return None if value is not None else _made(kind, draw)
    match value:
        case bool():
            return not value
        case int() | float() | Decimal():
            return type(value)(value + draw.choice((1, 2, 5)))
        case datetime() | date():
            return value + timedelta(days=draw.choice((1, 30, 400)))
        case list():
            return [*value, "scrambled"]
        case str() if kind == "json":
            return '{"scrambled": true}'
        case str():
            return f"{value}~{draw.randrange(9)}"
        case _:
            return value


def _made(kind: str, draw: random.Random) -> Any:
    made = {"string": "scrambled", "id": "a1", "int": 3, "long": 9, "float": 0.5, "bool": True}
    return made.get(kind)


@pytest.fixture(scope="module", params=sorted(PEOPLE))
def email(request: pytest.FixtureRequest, world: World) -> Iterator[str]:
    """Give a person, with their hidden part of the second tenant scrambled."""
    person = str(request.param)
    world.write(scrambled(person, seed=len(person)), tenant=SCRAMBLED)
    yield person


def told(world: World, tenant: str, email: str, question: Question) -> Any:
    """Return status and body of an answer, or the refusal, without what may differ."""
    answer = world.runner.run(
        world.responder.answer(Principal(tenant=tenant, email=email), question)
    )
    return _settled(orjson.loads(answer.body()))


_ASIDE = frozenset(
    {"cursor", "startCursor", "endCursor", "freshness", "dataVersion", "version", "ms", "elapsedMs"}
)


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _settled(each) for key, each in value.items() if key not in _ASIDE}
    if isinstance(value, list):
        return [_settled(each) for each in value]
    if isinstance(value, float):
        # The last digits of a standard deviation depend on where rows happen to lie.
        return float(f"{value:.12g}")
    return value


def assert_same(world: World, email: str, question: Question) -> None:
    """Ask both tenants, twice, so that kept and compiled work answers too."""
    for _ in range(2):
        first = told(world, OPEN, email, question)
        second = told(world, SCRAMBLED, email, question)
        assert orjson.dumps(first) == orjson.dumps(second), question.query


def test_operations_drawn_at_random_are_answered_alike(world: World, email: str) -> None:
    """Filters, orders, groups, relations, aggregates, fragments; errors among the answers."""

    @settings(
        max_examples=OPERATIONS,
        deadline=None,
        derandomize=not IS_LONG,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(ask=asks(), seed=st.integers(0, 999))
    def answered_alike(ask: Any, seed: int) -> None:
        text = Writer(seed).operation(ask, LIST_FIELDS[ask.kind])
        assert_same(world, email, Question(text))

    answered_alike()


def test_scrambling_is_plain_to_whoever_sees_everything(own_world: World) -> None:
    """Otherwise equal answers would prove nothing."""
    text = "{ deals(first: 200) { nodes { id title secret } } accounts { totalCount } }"
    own_world.fill(seeded(), OPEN)
    own_world.fill(scrambled("rep@x.test", seed=1), SCRAMBLED)
    first = told(own_world, OPEN, "all@x.test", Question(text))
    assert first != told(own_world, SCRAMBLED, "all@x.test", Question(text))
    assert_same(own_world, "rep@x.test", Question(text))


INTROSPECTION = """{ __schema { types { name description
  fields { name description } inputFields { name } enumValues { name } } } }"""
_KEYS = (("Account", "a1"), ("Account", "a9"), ("Deal", "d07"), ("Deal", "zz0"))
_REPRESENTATIONS = ", ".join(f'{{__typename: "{kind}", id: "{key}"}}' for kind, key in _KEYS)
ENTITIES = f"""{{ _entities(representations: [{_REPRESENTATIONS}]) {{
  ... on Account {{ id name }} ... on Deal {{ id title account {{ id }} }} }} }}"""
# By what they ask for; whoever sees everything is answered each of them without an error.
ANSWERED = {
    "filters": (
        '{ deals(where: {stage: {in: ["1", "9"]}, amount: {gt: "3"}}) { nodes { id title } } }',
        "{ accounts(where: {not: {rating: {gte: 3}}}) { totalCount nodes { id rating } } }",
    ),
    "relation filters": (
        "{ accounts(where: {deals: {some: {quantity: {gt: 2}}}}) { nodes { id } } }",
        '{ deals(where: {account: {region: {eq: "north"}}}) { totalCount nodes { id } } }',
        "{ accounts(where: {deals: {aggregate: {count: {gt: 1}}}}) { nodes { id } } }",
    ),
    "orders": (
        "{ deals(first: 9, orderBy: [{amount: DESC}, {title: ASC}]) { nodes { id amount } } }",
        "{ accounts(orderBy: [{revenue: ASC}]) { nodes { id } } }",
    ),
    "groups": (
        "{ deals { groupBy(by: [{stage: VALUE}]) { key { stage } aggregate { count } } } }",
        "{ accounts { groupBy(by: [{region: VALUE}]) { aggregate { count } } } }",
    ),
    "aggregates": (
        "{ deals { aggregate { count sum { amount } min { title } max { secret } } } }",
        "{ accounts { aggregate { count countDistinct { segment } } } }",
        "{ accounts { nodes { id deals { totalCount aggregate { max { amount } } } } } }",
    ),
    "records": tuple(
        f'{{ account(id: "{key}") {{ id name segment deals {{ nodes {{ id }} }} }} }}'
        for key in ("a1", "a2", "a9", "zz0", "x")
    )
    + tuple(f'{{ deal(id: "{key}") {{ id secret account {{ name }} }} }}' for key in ("d01", "d07"))
    + ('{ ticket(id: "t04") { id subject satisfaction } }',),
    "entities": (ENTITIES,),
    "definitions": (
        INTROSPECTION,
        "{ _service { sdl } }",
        *(
            f'{{ _definitions(coordinates: ["{each}"]) }}'
            for each in ("Deal.secret", "Account.revenue")
        ),
    ),
    "access": (
        '{ _access(object: "Deal", id: "d07", field: "secret") { __typename } }',
        '{ _access(object: "Account", id: "zz0") { __typename } }',
    ),
}
# And what nobody is answered.
REFUSED = {
    "suggestions": (
        "{ accounts(where: {nmae: {eq: 1}}) { nodes { id } } }",
        "{ deals { nodes { secrte amonut } } }",
        "{ dealz { totalCount } }",
    ),
    "cursors": ('{ deals(after: "nonsense") { nodes { id } } }',),
    "sizes": ("{ accounts(first: 100000) { nodes { id } } }",),
}
# What the rights of some people refuse.
DEPENDING = (
    "{ deals(orderBy: [{secret: ASC}]) { nodes { id } } }",
    '{ deals(where: {secret: {startsWith: "s"}}) { totalCount } }',
)
NAMED = {**ANSWERED, **REFUSED, "depending": DEPENDING}
SEARCHES = ("deal", "secret", "north", "s1", "scrambled", "amount", "region", "A")
COORDINATES = ("Account.segment", "Deal.stage", "Ticket.priority", "Deal.secret", "Crm_notes.mood")


def test_battery_asks_what_it_means_to_ask(world: World) -> None:
    """An error where an answer was meant would be the same for everybody, and prove nothing."""
    for texts, is_answered in ((ANSWERED, True), (REFUSED, False)):
        for kind, each in texts.items():
            for text in each:
                response = world.ask(text, "all@x.test")
                assert ("errors" not in response) is is_answered, (kind, text, response)


def test_operations_cost_alike(world: World, email: str) -> None:
    """Every refusal for cost names the number, which no hidden row may move."""
    responder = Responder(
        world.graphs,
        databases=world._database,
        operations=world.state,
        seal=CursorSeal(b"k" * 32),
        clock=world.clock,
        resident=world.resident,
        cost_max=0,
    )
    costs: set[Any] = set()
    for text in (text for texts in ANSWERED.values() for text in texts):
        told_to = []
        for tenant in (OPEN, SCRAMBLED):
            asked = responder.answer(Principal(tenant=tenant, email=email), Question(text))
            told_to.append(_settled(orjson.loads(world.runner.run(asked).body())))
        assert told_to[0] == told_to[1], text
        costs |= {each["extensions"].get("cost") for each in told_to[0].get("errors", ())}
    assert len(costs - {None}) > 3 or email == "nobody@x.test", costs


@pytest.mark.parametrize("kind", NAMED)
def test_named_operations_and_errors_are_answered_alike(
    world: World, email: str, kind: str
) -> None:
    for text in NAMED[kind]:
        assert_same(world, email, Question(text))


def test_search_and_choices_are_answered_alike(world: World, email: str) -> None:
    for text in SEARCHES:
        query = "query S($t: String!) { _search(text: $t) { coordinate kind description example } }"
        assert_same(world, email, Question(query, None, {"t": text}, None))
    for coordinate in COORDINATES:
        query = "query V($c: String!) { _values(coordinate: $c) { value label isActive } }"
        assert_same(world, email, Question(query, None, {"c": coordinate}, None))


@pytest.mark.parametrize("type_name", ["Account", "Deal", "Ticket", "Crm_accounts"])
def test_own_access_is_told_alike(world: World, email: str, type_name: str) -> None:
    query = """query A($o: String!, $i: ID, $f: String) { _access(object: $o, id: $i, field: $f) {
      readable decidedBy reason rows fields field { name readable masked decidedBy reason }
      record { id visible } explained { rows why } } }"""
    prefix = type_name.removeprefix("Crm_")[0].lower()
    for number in range(1, 13):
        key = f"a{number}" if prefix == "a" else f"{prefix}{number:02d}"
        variables = {"o": type_name, "i": key, "f": "secret"}
        assert_same(world, email, Question(query, None, variables, None))


@pytest.mark.parametrize("kind", ["deals", "accounts", "tickets"])
def test_pages_are_cut_alike(world: World, email: str, kind: str) -> None:
    """Page by page, each tenant with its own cursors."""
    query = f"""query P($after: String) {{ {kind}(first: 4, after: $after) {{ totalCount
      nodes {{ id }} edges {{ node {{ id }} }} pageInfo {{ hasNextPage endCursor }} }} }}"""
    walks = []
    for tenant in (OPEN, SCRAMBLED):
        pages: list[Any] = []
        after = None
        for _ in range(40):
            response = world.ask(query, email, variables={"after": after}, tenant=tenant)
            pages.append(_settled(response))
            page = (response.get("data") or {}).get(kind)
            if not page or not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        walks.append(pages)
    assert orjson.dumps(walks[0]) == orjson.dumps(walks[1])


def test_explanations_tell_alike(world: World, email: str) -> None:
    text = "{ deals(first: 3) { totalCount nodes { id title account { name } } } }"
    first, second = (
        _without_times(told(world, tenant, email, Question(text, explain=Detail.PERSON)))
        for tenant in (OPEN, SCRAMBLED)
    )
    assert first == second


def _without_times(value: Any) -> Any:
    """Leave out how long things took and how the store was read, which depend on the moment."""
    if isinstance(value, dict):
        return {
            key: _without_times(each)
            for key, each in value.items()
            if not key.lower().endswith(("ms", "at", "seconds"))
        }
    if isinstance(value, list):
        return [_without_times(each) for each in value]
    return value
