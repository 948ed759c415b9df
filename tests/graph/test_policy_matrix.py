"""Person x object x field x verb: what policies drawn at random allow, and what then happens.

What is expected is worked out here from the policies' text alone. What happens is what the gateway
answers to a question that reads, filters, groups or aggregates by one field of one object, and what
a write may contain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.graph.policies import asked, with_policy
from tests.graph.test_policy_verbs import verdicts
from tests.graph.world import CATALOGS, World, seeded

from firnline.access.principal import Principal

READING = ("read", "filter", "aggregate")
WRITING = ("create", "update")
# Type -> the source's object, and the fields that are looked at with their sources.
OBJECTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "Account": ("accounts", {"region": "region", "rating": "rating", "legacyNo": "legacy_no"}),
    "Deal": ("deals", {"amount": "amount", "quantity": "quantity", "secret": "secret"}),
}
LISTS = {"Account": "accounts", "Deal": "deals"}
PEOPLE = [
    Principal("acme", email, agent=agent, purpose=purpose, attributes={"least": "3"})
    for email in ("all@x.test", "masked@x.test", "stranger@x.test")
    for agent, purpose in (("", ""), ("helper", "forecast"), ("helper", "support"), ("other", ""))
]
LIMITS: list[dict[str, Any]] = [
    {"agents": [], "people": True},
    {"agents": ["helper"]},
    {"purposes": ["forecast"], "people": True},
    {"agents": ["helper"], "purposes": ["support", "forecast"]},
    {"agents": ["other"], "people": True},
]
# Conditions on a record's own fields, and the same in Python.
CONDITIONS: Mapping[str, list[tuple[dict[str, Any], Any]]] = {
    "Account": [
        ({"rating": {"gte": 3}}, lambda row: (row["rating"] or 0) >= 3),
        ({"not": {"region": {"eq": "north"}}}, lambda row: row["region"] not in (None, "north")),
        ({"isActive": {"eq": True}}, lambda row: row["active"] is True),
    ],
    "Deal": [
        ({"quantity": {"lt": 5}}, lambda row: row["quantity"] is not None and row["quantity"] < 5),
        (
            {"account": {"rating": {"gte": 3}}},
            lambda row: (ACCOUNTS.get(row["account_id"], {}).get("rating") or 0) >= 3,
        ),
    ],
}
ACCOUNTS = {row["id"]: row for row in seeded()["crm", "accounts"]}


class Drawn:
    """One side's policy: its text, and what it says in the test's own words."""

    def __init__(self, draw: random.Random, outer: Drawn | None = None) -> None:
        self.text: dict[str, Any] = {}
        self.verbs: dict[str, dict[str, Any]] = {}
        self.fields: dict[tuple[str, str], dict[str, Any]] = {}
        for type_name in OBJECTS:
            self.text[type_name] = self._object(draw, type_name, outer)

    def _object(self, draw: random.Random, type_name: str, outer: Drawn | None) -> dict[str, Any]:
        most = {*READING, *WRITING, "delete"} if outer is None else set(outer.verbs[type_name])
        verbs = self._verbs(draw, most)
        text: dict[str, Any] = {"mode": "mirror"}
        if draw.random() < 0.8:
            text["verbs"] = verbs
        else:
            verbs = dict.fromkeys(READING if outer is None else most)
        self.verbs[type_name] = verbs
        stated = set(text.get("verbs", READING))
        if draw.random() < 0.3:
            text["only_for"] = draw.choice(LIMITS)
        rules = {}
        for name in OBJECTS[type_name][1]:
            rule = self._rule(draw, type_name, name, stated, outer)
            if rule:
                rules[name] = rule
        if rules:
            text["fields"] = rules
        masked = [name for name in OBJECTS[type_name][1] if draw.random() < 0.1]
        text["mask"] = dict.fromkeys(masked)
        text["hide"] = [name for name in OBJECTS[type_name][1] if draw.random() < 0.05]
        return text

    def _rule(
        self, draw: random.Random, type_name: str, name: str, most: set[str], outer: Drawn | None
    ) -> dict[str, Any]:
        most = most - {"delete"}
        if outer is not None and "verbs" in (own := outer.fields[type_name, name]):
            most &= set(own["verbs"])
        rule: dict[str, Any] = {}
        if draw.random() < 0.4:
            rule["verbs"] = self._verbs(draw, most)
        if draw.random() < 0.2:
            rule["only_for"] = draw.choice(LIMITS)
        if draw.random() < 0.4:
            condition, holds = draw.choice(CONDITIONS[type_name])
            rule["rows"] = condition
            self.fields[type_name, name] = {**rule, "holds": holds}
        else:
            self.fields[type_name, name] = dict(rule)
        return rule

    @staticmethod
    def _verbs(draw: random.Random, most: set[str]) -> dict[str, Any]:
        chosen = [verb for verb in sorted(most) if draw.random() < 0.8]
        if "read" not in chosen:
            chosen = [verb for verb in chosen if verb not in READING]
        return {verb: draw.choice(LIMITS) if draw.random() < 0.3 else None for verb in chosen}


def lets(limit: dict[str, Any] | None, who: Principal) -> bool:
    """Say whether a limit lets a token pass."""
    if limit is None:
        return True
    if not who.agent:
        return bool(limit.get("people", False))
    if "agents" in limit and who.agent not in limit["agents"]:
        return False
    return "purposes" not in limit or who.purpose in limit["purposes"]


def object_allows(side: Drawn, type_name: str, verb: str, who: Principal) -> bool:
    text = side.text[type_name]
    if not lets(text.get("only_for"), who):
        return False
    verbs = side.verbs[type_name]
    needed = {verb} | ({"read"} if verb in READING else set())
    return all(each in verbs and lets(verbs[each], who) for each in needed)


def field_allows(side: Drawn, type_name: str, name: str, verb: str, who: Principal) -> bool:
    text, rule = side.text[type_name], side.fields[type_name, name]
    if name in text["mask"] and verb in ("filter", "aggregate"):
        return False
    if not lets(rule.get("only_for"), who):
        return False
    if "verbs" not in rule:
        return True
    needed = {verb} | ({"read"} if verb in READING else set())
    return all(each in rule["verbs"] and lets(rule["verbs"][each], who) for each in needed)


def records(type_name: str) -> Iterator[dict[str, Any]]:
    """Yield the records that the mapping counts."""
    source = OBJECTS[type_name][0]
    for row in seeded()["crm", source]:
        if type_name != "Deal" or row["stage"] not in ("trash", None):
            yield row


@pytest.fixture(params=range(10))
def drawn(request: pytest.FixtureRequest) -> tuple[random.Random, Drawn, Drawn | None]:
    """Give an integration's policy, and for half of the seeds a tenant's."""
    draw = random.Random(int(request.param))
    outer = Drawn(draw)
    return draw, outer, Drawn(draw, outer) if int(request.param) % 2 else None


def test_every_verb_of_every_field_is_decided_as_the_policies_say(
    connectors: None, tmp_path: Path, drawn: tuple[random.Random, Drawn, Drawn | None]
) -> None:
    draw, outer, inner = drawn
    sides = [outer] if inner is None else [outer, inner]
    world = with_policy(
        tmp_path,
        {"objects": outer.text},
        tenant=None if inner is None else {"objects": inner.text},
        is_resident=draw.random() < 0.5,
    )
    taken = takes(world, draw)
    count = 0
    for who in PEOPLE:
        for type_name, (source, fields) in OBJECTS.items():
            found = verdicts(world, who, type_name)
            is_known = who.email != "stranger@x.test"
            for verb in ("create", "update", "delete"):
                may = is_known and all(object_allows(s, type_name, verb, who) for s in sides)
                assert (not found.of_object(verb)) == may, (who, type_name, verb)
            for name, column in fields.items():
                if any(name in side.text[type_name]["hide"] for side in sides):
                    assert name not in found.scan.object.fields
                    continue
                withheld = (who.email, source, column) in WITHHELD
                for verb in (*READING, *WRITING):
                    may = (
                        is_known
                        and not withheld
                        and all(object_allows(s, type_name, verb, who) for s in sides)
                        and all(field_allows(s, type_name, name, verb, who) for s in sides)
                    )
                    if verb in WRITING:
                        may = may and (source, column, verb) in taken
                        assert (name in found.write(verb).fields) == may, (who, type_name, name)
                    elif verb == "read":
                        check_shown(world, who, sides, (type_name, name, column), may=may)
                    else:
                        sees = is_known and all(
                            object_allows(s, type_name, "read", who) for s in sides
                        )
                        check_used(world, who, (type_name, name, verb), may=may, sees=sees)
                    count += 1
    world.close()
    assert count >= 24


# What the source keeps back from whom.
WITHHELD = frozenset(("masked@x.test", "deals", name) for name in ("secret", "amount"))


def takes(world: World, draw: random.Random) -> set[tuple[str, str, str]]:
    """Have the source take some fields in some writes; return which."""
    catalog, taken = CATALOGS["crm"], set()
    objects = []
    for each in catalog.objects:
        fields = []
        for field in each.fields:
            flags = {verb: draw.random() < 0.7 for verb in WRITING}
            taken |= {(each.name, field.name, verb) for verb, may in flags.items() if may}
            fields.append(
                field.model_copy(
                    update={"createable": flags["create"], "updateable": flags["update"]}
                )
            )
        objects.append(each.model_copy(update={"fields": tuple(fields)}))
    world.discovered("acme", "crm", catalog.model_copy(update={"objects": tuple(objects)}))
    return taken


def check_shown(
    world: World, who: Principal, sides: list[Drawn], place: tuple[str, str, str], *, may: bool
) -> None:
    """Every record shows the field's own value where all conditions hold, and null elsewhere."""
    type_name, name, column = place
    text = f"{{ {LISTS[type_name]}(first: 200) {{ nodes {{ id {name} }} }} }}"
    response = asked(world, text, who)
    assert "errors" not in response, (who, place)
    nodes = {node["id"]: node[name] for node in response["data"][LISTS[type_name]]["nodes"]}
    if not may:
        assert set(nodes.values()) <= {None}, (who, place)
        return
    rules = [side.fields[type_name, name] for side in sides]
    is_masked = any(name in side.text[type_name]["mask"] for side in sides)
    rows = {row["id"]: row for row in records(type_name)}
    assert set(nodes) <= set(rows)
    assert nodes
    for key, value in nodes.items():
        holds = all(rule["holds"](rows[key]) for rule in rules if "holds" in rule)
        own = rows[key][column]
        is_shown = holds and own is not None and not is_masked
        assert (value is not None) == is_shown, (who, place, key)
        assert not is_shown or float_or_text(value) == float_or_text(own), (who, place, key)


def float_or_text(value: Any) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def check_used(
    world: World, who: Principal, place: tuple[str, str, str], *, may: bool, sees: bool
) -> None:
    """A field that may not be used is an error, unless nothing of the object is seen at all."""
    type_name, name, verb = place
    using = f"(where: {{{name}: {{isNull: true}}}}, first: 1) {{ nodes {{ id }} }}"
    if verb == "aggregate":
        using = f"{{ aggregate {{ max {{ {name} }} }} }}"
    response = asked(world, f"{{ {LISTS[type_name]}{using} }}", who)
    if not sees:
        assert "errors" not in response, (who, place)
        found = response["data"][LISTS[type_name]]
        assert found in ({"nodes": []}, {"aggregate": {"max": {name: None}}})
        return
    assert ("errors" not in response) == may, (who, place, response)
    if not may:
        code = response["errors"][0]["extensions"]["code"]
        assert code in ("verb_not_allowed", "field_not_readable")
