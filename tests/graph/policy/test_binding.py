"""The policy bound to a principal: what cannot be told for certain denies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.graph.policy.graphs import bound, graph, person, ruling
from tests.graph.world import NOW

from firnline.access.decisions import Decisions
from firnline.access.ruling import UNRULED, Ruling
from firnline.graph.policy.binding import is_ruled, ruling_on, ruling_reads
from firnline.graph.policy.condition_age import ConditionAges
from firnline.graph.policy.verbs import FOR_OTHERS, NOT_ALLOWED
from firnline.graph.shape import everything_stored

READING = ("read", "filter", "aggregate")
VERBS = (*READING, "create", "update", "delete")
NORTH = {"region": {"eq": "north"}}
BY_REGION = {"region": {"in": {"principal": "attributes.regions"}}}
NO_SYNC = "the builder's policy depends on records that were not synced yet"
NO_FACT = "the builder's policy needs something that the token does not hold"
NO_COMPARISON = "the builder's policy cannot be compared with what the token holds"


def without(connection: str, name: str, field: str) -> dict[str, dict[str, frozenset[str]]]:
    stored = everything_stored(graph())
    kept = stored[connection][name] - {field}
    return {**stored, connection: {**stored[connection], name: kept}}


def assert_denied(found: Ruling, reason: str) -> None:
    assert found.denied == reason
    writing = dict.fromkeys(("create", "update", "delete"), NOT_ALLOWED)
    assert dict(found.refused) == {**dict.fromkeys(READING, reason), **writing}
    assert not found.rows
    assert not found.presets
    assert not found.reads


def test_object_without_rules_has_no_ruling() -> None:
    given = graph(Deal={"mask": {"secret": None}, "hide": ["amount"]}, Account={"rows": NORTH})
    assert set(bound(given)) == {"Account"}
    assert not is_ruled(given.objects["Deal"])


@pytest.mark.parametrize(
    "policy",
    [
        {"only_for": {}},
        {"verbs": []},
        {"rows": {"stage": {"eq": "won"}}},
        {"fields": {"amount": {}}},
        {"presets": {"create": {"stage": "open"}}},
    ],
    ids=str,
)
def test_object_with_any_rule_has_a_ruling(policy: Mapping[str, Any]) -> None:
    given = graph(Deal=policy)
    assert is_ruled(given.objects["Deal"])
    assert set(bound(given)) == {"Deal"}


def test_ruling_on_an_object_is_asked_of_the_decisions_where_there_are_rules() -> None:
    given = graph(Deal={"rows": {"stage": {"eq": "won"}}})
    found = bound(given)
    decisions = Decisions({}, {}, {}, {}, rulings={**found, "Account": Ruling(denied="no")})
    assert ruling_on(given.objects["Deal"], decisions) is found["Deal"]
    assert ruling_on(given.objects["Account"], decisions) is UNRULED
    nobody = Decisions({}, {}, {}, {})
    assert ruling_on(given.objects["Deal"], nobody).denied


def test_conditions_are_bound_with_the_facts_of_the_token() -> None:
    rows = {
        "and": [{"title": {"eq": {"principal": "email"}}}, {"amount": {"gte": 5, "lt": 9}}],
        "not": {"stage": {"in": ["won", "open"]}},
        "or": [{"account": BY_REGION}, {"quantity": {"eq": 1}}],
    }
    who = person(attributes={"regions": ("north", "West")})
    found = ruling({"rows": rows}, who)
    assert found.denied == ""
    assert found.rows == {
        "and": [{"title": {"eq": "all@x.test"}}, {"amount": {"gte": 5, "lt": 9}}],
        "not": {"stage": {"in": ["won", "open"]}},
        "or": [{"account": {"region": {"in": ["north", "West"]}}}, {"quantity": {"eq": 1}}],
    }


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({"in": {"principal": "attributes.one"}}, ["north"]),
        ({"notIn": {"principal": "attributes.one"}}, ["north"]),
        ({"iin": {"principal": "attributes.one"}}, ["north"]),
        ({"in": {"principal": "attributes.many"}}, ["north", "West"]),
        ({"eq": {"principal": "attributes.one"}}, "north"),
        ({"neq": {"principal": "agent"}}, "bot"),
    ],
    ids=str,
)
def test_fact_is_one_value_or_several_as_its_operator_needs(
    wanted: dict[str, Any], value: Any
) -> None:
    who = person(agent="bot", attributes={"one": "north", "many": ("north", "West")})
    found = ruling({"rows": {"region": wanted}}, who, name="Account")
    assert found.rows == {"region": dict.fromkeys(wanted, value)}


@pytest.mark.parametrize("operator", ["hasAny", "hasAll"])
def test_one_value_asked_of_a_list_is_a_list_of_one(operator: str) -> None:
    rows = {"labels": {operator: {"principal": "attributes.one"}}}
    found = ruling({"rows": rows}, person(attributes={"one": "vip"}), name="Account")
    assert found.rows == {"labels": {operator: ["vip"]}}


DENYING: dict[str, tuple[dict[str, Any], str]] = {
    "fact that the token lacks": ({"title": {"eq": {"principal": "purpose"}}}, NO_FACT),
    "fact that nobody knows": ({"title": {"eq": {"principal": "credential"}}}, NO_FACT),
    "fact without a name": ({"title": {"eq": {"else": "email"}}}, NO_FACT),
    "several where one is needed": (
        {"title": {"eq": {"principal": "attributes.many"}}},
        "the builder's policy needs one value of an attribute that holds several",
    ),
    "value of another type": ({"amount": {"gt": {"principal": "email"}}}, NO_COMPARISON),
    "operator of another type": ({"amount": {"startsWith": "1"}}, NO_COMPARISON),
    "comparison with null": ({"title": {"eq": None}}, NO_COMPARISON),
    "field that the tenant lacks": (
        {"nope": {"eq": 1}},
        "the builder's policy depends on Deal.nope, which this tenant lacks",
    ),
    "related field that the tenant lacks": (
        {"account": {"nope": {"eq": 1}}},
        "the builder's policy depends on Account.nope, which this tenant lacks",
    ),
    "field without a condition": (
        {"title": {}},
        "the builder's policy depends on Deal.title, which this tenant lacks",
    ),
    "field with a bare value": (
        {"title": "x"},
        "the builder's policy depends on Deal.title, which this tenant lacks",
    ),
    "related conditions of no form": (
        {"account": "x"},
        "the builder's policy cannot be understood",
    ),
    "conditions of no form": ({"and": ["x"]}, "the builder's policy cannot be understood"),
    "negation of no form": ({"not": ["x"]}, "the builder's policy cannot be understood"),
    "deep inside": (
        {"or": [{"stage": {"eq": "won"}}, {"not": {"title": {"eq": {"principal": "purpose"}}}}]},
        NO_FACT,
    ),
}


@pytest.mark.parametrize(("rows", "reason"), DENYING.values(), ids=DENYING)
def test_condition_that_cannot_be_bound_denies_every_verb(
    rows: dict[str, Any], reason: str
) -> None:
    who = person(attributes={"many": ("a", "b")})
    assert_denied(ruling({"rows": rows, "presets": {"create": {}}}, who), reason)


def test_verbs_that_the_policy_gives_are_refused_where_its_rows_cannot_be_bound() -> None:
    rows = {"title": {"eq": {"principal": "purpose"}}}
    found = ruling({"rows": rows, "verbs": list(VERBS)})
    assert dict(found.refused) == dict.fromkeys(VERBS, NO_FACT)
    assert found.denied == NO_FACT


def test_condition_through_a_relation_to_many_denies() -> None:
    found = ruling({"rows": {"deals": {"stage": {"eq": "won"}}}}, name="Account")
    assert found.denied == (
        "the builder's policy depends on Account.deals, which leads to nothing that can be read"
    )


def test_condition_through_a_relation_to_what_the_tenant_lacks_denies() -> None:
    given = graph(Deal={"rows": {"account": NORTH}})
    objects = {name: each for name, each in given.objects.items() if name != "Account"}
    found = bound(replace(given, objects=objects))["Deal"]
    assert found.denied.startswith("the builder's policy depends on Deal.account, which leads to")


# What a rule on deals or accounts is read from, and so must have been synced.
NEEDED: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "own field": ("Deal", {"title": {"eq": "x"}}, ("deals", "title")),
    "own key": ("Deal", {"title": {"eq": "x"}}, ("deals", "id")),
    "reference of a path": ("Deal", {"accountRegion": {"eq": "x"}}, ("deals", "account_id")),
    "end of a path": ("Deal", {"accountRegion": {"eq": "x"}}, ("accounts", "region")),
    "middle of a long path": ("Deal", {"ownerTeam": {"eq": "x"}}, ("accounts", "owner_id")),
    "end of a long path": ("Deal", {"ownerTeam": {"eq": "x"}}, ("users", "team")),
    "first of several": ("Account", {"contactName": {"eq": "x"}}, ("accounts", "nickname")),
    "other of several": ("Account", {"contactName": {"eq": "x"}}, ("users", "name")),
    "key that leads on": ("Deal", {"account": NORTH}, ("deals", "account_id")),
    "key that it leads to": ("Deal", {"account": NORTH}, ("accounts", "id")),
    "related field": ("Deal", {"account": NORTH}, ("accounts", "region")),
    "condition of the mapping": ("Account", {"isKey": {"eq": True}}, ("accounts", "tier")),
    "inside of and": ("Deal", {"and": [{"title": {"eq": "x"}}]}, ("deals", "title")),
    "inside of or": ("Deal", {"or": [{"title": {"eq": "x"}}]}, ("deals", "title")),
    "inside of not": ("Deal", {"not": {"title": {"eq": "x"}}}, ("deals", "title")),
}


@pytest.mark.parametrize(("name", "rows", "needed"), NEEDED.values(), ids=NEEDED)
def test_condition_over_what_was_never_synced_denies(
    name: str, rows: dict[str, Any], needed: tuple[str, str]
) -> None:
    object_name, field = needed
    found = ruling({"rows": rows}, name=name)
    assert not found.denied
    assert ("crm", object_name) in found.reads
    missing = without("crm", object_name, field)
    assert_denied(ruling({"rows": rows}, name=name, stored=missing), NO_SYNC)


def test_what_the_related_type_is_made_of_must_have_been_synced_too() -> None:
    """Deals are those that are not in the trash: the stage decides which there are."""
    rows = {"deal": {"title": {"eq": "x"}}}
    given = graph(Account={"rows": rows})
    way = replace(given.objects["Account"].relations["deals"], name="deal", many=False)
    account = replace(given.objects["Account"], relations={"deal": way})
    given = replace(given, objects={**given.objects, "Account": account})
    assert not bound(given)["Account"].denied
    assert bound(given)["Account"].reads == {("crm", "accounts"), ("crm", "deals")}
    missing = without("crm", "deals", "stage")
    assert_denied(bound(given, stored=missing)["Account"], NO_SYNC)


def test_nothing_synced_at_all_denies() -> None:
    for stored in ({}, {"crm": {}}):
        found = ruling({"rows": {"title": {"eq": "x"}}}, stored=stored)
        assert_denied(found, NO_SYNC)


def test_reads_are_the_objects_that_rows_and_fields_are_decided_by() -> None:
    assert ruling({"rows": {"title": {"eq": "x"}}}).reads == {("crm", "deals")}
    through = ruling({"rows": {"ownerTeam": {"eq": "x"}}})
    assert through.reads == {("crm", "deals"), ("crm", "accounts"), ("crm", "users")}
    field = ruling({"fields": {"amount": {"rows": {"account": NORTH}}}})
    assert field.reads == field.fields["amount"].reads == {("crm", "deals"), ("crm", "accounts")}
    assert field.rows == {}
    assert ruling({"verbs": ["read"]}).reads == frozenset()


def test_reads_of_rulings_are_told_for_the_sources_that_are_asked_about() -> None:
    given = graph(Deal={"rows": {"account": NORTH}}, Ticket={"rows": {"subject": {"eq": "x"}}})
    decisions = Decisions({}, {}, {}, {}, rulings=bound(given))
    read = set(ruling_reads(given, decisions, {("crm", "deals")}))
    assert read == {("crm", "deals"), ("crm", "accounts")}
    assert set(ruling_reads(given, decisions, {("desk", "tickets")})) == {("desk", "tickets")}
    assert not list(ruling_reads(given, decisions, {("crm", "accounts"), ("desk", "deals")}))


@pytest.mark.parametrize(
    ("name", "rows", "is_timeless"),
    [
        ("Deal", {"title": {"eq": "x"}}, True),
        ("Deal", {"updatedAt": {"gt": "2026-01-01T00:00:00Z"}}, True),
        ("Deal", {"updatedAt": {"gt": "now-7d"}}, False),
        ("Deal", {"updatedAt": {"gt": "now-7d"}, "title": {"eq": "x"}}, False),
        ("Deal", {"account": {"createdAt": {"gt": "now-7d"}}}, False),
        ("Deal", {"account": {"createdAt": {"gt": "now-7d"}}, "title": {"eq": "x"}}, False),
        ("Account", {"isKey": {"eq": True}}, True),
    ],
)
def test_rows_that_change_with_the_clock_are_told(
    name: str, rows: dict[str, Any], is_timeless: bool
) -> None:
    assert ruling({"rows": rows}, name=name).is_timeless is is_timeless
    field = "amount" if name == "Deal" else "revenue"
    found = ruling({"fields": {field: {"rows": rows}}}, name=name)
    assert found.fields[field].is_timeless is is_timeless
    assert found.fields[field].rows == rows
    assert found.is_timeless


@pytest.mark.parametrize(
    ("where", "rows", "is_timeless"),
    [
        ({"stage": {"neq": "trash"}}, NORTH, True),
        ({"updated": {"gt": "now-7d"}}, NORTH, False),
        ({"stage": {"neq": "trash"}}, {"createdAt": {"gt": "now-7d"}}, False),
    ],
)
def test_rows_change_with_the_clock_where_the_related_type_does(
    where: dict[str, Any], rows: dict[str, Any], is_timeless: bool
) -> None:
    """A deal that leaves its type with time takes along what was seen through it."""
    given = graph(Account={"rows": {"deal": {"account": rows}}})
    way = replace(given.objects["Account"].relations["deals"], name="deal", many=False)
    account = replace(given.objects["Account"], relations={"deal": way})
    deal = replace(given.objects["Deal"], where=where)
    given = replace(given, objects={**given.objects, "Account": account, "Deal": deal})
    found = bound(given)["Account"]
    assert not found.denied
    assert found.is_timeless is is_timeless
    turned = {"deal": {"stage": {"eq": "won"}}, **rows}
    policy = replace(account, policy=account.policy.model_copy(update={"rows": turned}))
    given = replace(given, objects={**given.objects, "Account": policy})
    assert bound(given)["Account"].is_timeless is is_timeless


def test_object_for_others_is_denied_and_tells_no_fact() -> None:
    found = ruling({"only_for": {"agents": ["bot"]}})
    assert found.denied == FOR_OTHERS
    assert dict(found.refused) == dict.fromkeys(VERBS, FOR_OTHERS)
    assert not ruling({"only_for": {"agents": ["bot"]}}, person(agent="bot")).denied


def test_limit_of_the_object_is_named_before_what_cannot_be_bound() -> None:
    rows = {"title": {"eq": {"principal": "purpose"}}}
    found = ruling({"only_for": {"agents": ["bot"]}, "rows": rows})
    assert (found.denied, found.refused["create"]) == (FOR_OTHERS, FOR_OTHERS)
    readable = ruling({"verbs": ["read", "filter"], "rows": rows})
    assert readable.denied == NO_FACT
    assert readable.refused["aggregate"] == NOT_ALLOWED


def test_verbs_that_are_not_listed_are_refused() -> None:
    found = ruling({"verbs": ["read", "create"]})
    assert found.denied == ""
    refused = dict.fromkeys(("filter", "aggregate", "update", "delete"), NOT_ALLOWED)
    assert dict(found.refused) == refused
    assert ruling({"verbs": ["create"]}).denied == NOT_ALLOWED


def test_field_rule_that_cannot_be_bound_keeps_the_field_back_and_nothing_else() -> None:
    rows = {"title": {"eq": {"principal": "purpose"}}}
    found = ruling({"fields": {"amount": {"rows": rows, "verbs": ["read", "update"]}}})
    assert found.denied == ""
    amount = found.fields["amount"]
    assert amount.refused["read"] == NO_FACT
    assert amount.refused["filter"] == amount.refused["aggregate"] == NOT_ALLOWED
    assert amount.refused["create"] == NOT_ALLOWED
    assert "update" not in amount.refused
    assert not amount.rows
    assert not amount.reads
    plain = ruling({"fields": {"amount": {"rows": rows}}}).fields["amount"]
    assert dict(plain.refused) == dict.fromkeys(READING, NO_FACT)


def test_rules_of_fields_are_bound_even_where_the_object_is_denied() -> None:
    fields = {"amount": {"only_for": {"agents": ["bot"]}}, "nope": {}}
    found = ruling({"rows": {"title": {"eq": {"principal": "purpose"}}}, "fields": fields})
    assert set(found.fields) == {"amount"}
    assert found.fields["amount"].refused["read"] == FOR_OTHERS
    assert ruling({"fields": fields}).fields == found.fields


@pytest.mark.parametrize(
    ("rule", "is_whole"),
    [
        ({}, True),
        ({"verbs": ["read"]}, True),
        ({"verbs": ["read", "filter"]}, True),
        ({"verbs": ["filter"]}, False),
        ({"only_for": {"agents": ["bot"]}}, False),
        ({"rows": {"title": {"eq": "x"}}}, False),
        ({"rows": {"title": {"eq": {"principal": "purpose"}}}}, False),
    ],
    ids=str,
)
def test_object_whose_key_is_kept_back_is_denied(rule: dict[str, Any], is_whole: bool) -> None:
    """Records are told by their keys: without them there would be nothing to page or group by."""
    found = ruling({"fields": {"id": rule}})
    if is_whole:
        assert not found.denied
    else:
        assert found.denied == (
            "the builder's policy keeps back Deal.id, which records are told by"
        )


def test_hidden_fields_decide_though_nobody_sees_them() -> None:
    policy = {"hide": ["title"], "rows": {"title": {"eq": "x"}}}
    assert ruling(policy).rows == {"title": {"eq": "x"}}
    by_account = {"hide": ["accountId"], "rows": {"account": NORTH}}
    assert ruling(by_account).rows == {"account": NORTH}


def test_preset_that_cannot_be_set_refuses_its_verb_alone() -> None:
    """The tests' provider takes no writes: whatever is set cannot be written."""
    policy = {"verbs": ["read", "create", "update"], "presets": {"create": {"stage": "open"}}}
    found = ruling(policy)
    assert found.refused["create"] == (
        "the builder's policy sets Deal.stage, which cannot be written at this tenant"
    )
    assert "update" not in found.refused
    assert "read" not in found.refused
    assert dict(found.presets) == {"update": {}}
    barred = ruling({"verbs": ["read"], "presets": {"create": {"stage": "open"}}})
    assert barred.refused["create"] == NOT_ALLOWED, "the first reason stays"


def test_presets_are_set_from_the_token_and_keep_their_relative_times() -> None:
    presets = {"title": {"principal": "email"}, "closesOn": "now+7d", "stage": "open"}
    given = graph(Deal={"verbs": ["read", "create"], "presets": {"create": presets}})
    deal = given.objects["Deal"]
    taking = tuple(each.model_copy(update={"createable": True}) for each in deal.source.fields)
    source = deal.source.model_copy(update={"fields": taking})
    objects = {**given.objects, "Deal": replace(deal, source=source)}
    found = bound(replace(given, objects=objects))["Deal"]
    values = {"title": "all@x.test", "closesOn": "now+7d", "stage": "open"}
    assert dict(found.presets) == {"create": values, "update": {}}
    assert "create" not in found.refused
    who = person(attributes={"title": ("a", "b")})
    several = {"create": {"title": {"principal": "attributes.title"}}}
    policy = deal.policy.model_copy(update={"presets": several})
    unfit = replace(deal, source=source, policy=policy)
    refused = bound(replace(given, objects={**given.objects, "Deal": unfit}), who)["Deal"].refused
    assert refused["create"] == "the builder's policy sets Deal.title to what does not fit"


def ages(hours_old: Mapping[str, float] | None) -> ConditionAges:
    stamps = None
    if hours_old is not None:
        stamps = {("crm", name): NOW - timedelta(hours=old) for name, old in hours_old.items()}
    return ConditionAges("acme", stamps, NOW)


@pytest.mark.parametrize(
    ("limits", "hours_old", "is_denied"),
    [
        ({"Deal": "24h"}, {"deals": 24, "accounts": 24}, False),
        ({"Deal": "24h"}, {"deals": 25, "accounts": 1}, True),
        ({"Deal": "24h"}, {"deals": 1, "accounts": 25}, True),
        ({"Account": "24h"}, {"deals": 99, "accounts": 24}, False),
        ({"Account": "24h"}, {"deals": 1, "accounts": 25}, True),
        ({"Deal": "48h", "Account": "24h"}, {"deals": 25, "accounts": 25}, True),
        ({"Deal": "24h", "Account": "48h"}, {"deals": 1, "accounts": 25}, True),
        ({"Deal": "24h"}, {"deals": 1}, True),
        ({"Deal": "24h"}, None, False),
        ({}, {}, False),
    ],
)
def test_records_that_are_too_old_decide_nothing(
    limits: dict[str, str], hours_old: dict[str, float] | None, is_denied: bool
) -> None:
    policies: dict[str, dict[str, Any]] = {
        name: {"max_age": limits[name]} for name in ("Deal", "Account") if name in limits
    }
    policies["Deal"] = {**policies.get("Deal", {}), "rows": {"account": NORTH}}
    found = bound(graph(**policies), ages=ages(hours_old))["Deal"]
    assert bool(found.denied) is is_denied
    assert found.denied == "" or "records of crm" in found.denied


def test_age_of_conditions_ends_when_the_first_record_is_too_old() -> None:
    judged = ages({"deals": 3, "accounts": 20})
    bound(graph(Deal={"max_age": "24h", "rows": {"account": NORTH}}), ages=judged)
    assert judged.valid_until == NOW + timedelta(hours=4)
