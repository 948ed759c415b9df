"""Rights as data: what is denied by default, and which objects a rule looks at."""

from __future__ import annotations

import pytest

from firnline.access.grounds import Coordinate, Ground, Naming
from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    ObjectAccess,
    Person,
    RowRule,
    SourceAccess,
    Via,
    ViaChild,
    objects_of,
)

ANA = frozenset({"ana"})
SHARED = Listed("shares", "record", "who", ANA)


def test_rights_that_nothing_states_are_none() -> None:
    assert ObjectAccess() == ObjectAccess(False, "no permission was found", Nothing(), {})


def test_object_that_nothing_grants_is_denied_for_the_reason_of_the_person() -> None:
    readable = ObjectAccess(readable=True, reason="")
    known = SourceAccess("u1", objects={"orders": readable})
    assert known.object("orders") is readable
    assert known.object("lines") == ObjectAccess()
    stranger = SourceAccess(None, "no active user").object("orders")
    assert (stranger.readable, stranger.reason) == (False, "no active user")


@pytest.mark.parametrize(
    ("rule", "objects"),
    [
        (Everything(), []),
        (Nothing(), []),
        (FieldIn("owner", ANA), []),
        (FieldIsNull("owner"), []),
        (SHARED, ["shares"]),
        (Via("customer", "customers", Everything()), ["customers"]),
        (ViaChild("lines", "order", SHARED), ["lines", "shares"]),
        (
            Via("customer", "customers", Via("parent", "groups", SHARED)),
            ["customers", "groups", "shares"],
        ),
        (
            AnyOf((SHARED, AllOf((Via("customer", "customers", Nothing()),)))),
            ["shares", "customers"],
        ),
        (AllOf((FieldIsNull("owner"), SHARED)), ["shares"]),
    ],
)
def test_rule_looks_at_the_objects_that_it_reaches_into(rule: RowRule, objects: list[str]) -> None:
    assert list(objects_of(rule)) == objects


@pytest.mark.parametrize(
    ("plain", "explained"),
    [
        (Everything(), Everything(why="profile Admin")),
        (Nothing(), Nothing(why="no profile")),
        (FieldIn("owner", ANA), FieldIn("owner", ANA, why="owner")),
        (FieldIsNull("owner"), FieldIsNull("owner", why="public")),
        (SHARED, Listed("shares", "record", "who", ANA, told=("right",), why="a share")),
        (AnyOf((SHARED,)), AnyOf((SHARED,), why="sharing")),
        (AllOf((SHARED,)), AllOf((SHARED,), why="sharing")),
        (Via("a", "b", SHARED), Via("a", "b", SHARED, why="parent")),
        (ViaChild("a", "b", SHARED), ViaChild("a", "b", SHARED, why="child")),
    ],
)
def test_what_explains_a_rule_neither_tells_it_apart_nor_is_printed(
    plain: RowRule, explained: RowRule
) -> None:
    assert plain == explained
    assert hash(plain) == hash(explained)
    assert repr(plain) == repr(explained)
    assert plain.why == ""


def test_ground_tells_what_it_holds_and_nothing_empty() -> None:
    ground = Ground("gives", "read", "profile", "Sales")
    assert ground.as_dict() == {
        "effect": "gives",
        "right": "read",
        "kind": "profile",
        "name": "Sales",
    }
    muted = Ground("takes", "read", "permission set", "Muting", within="Sales group")
    assert muted.as_dict()["within"] == "Sales group"
    assert muted.as_dict()["effect"] == "takes"


def test_places_without_a_field_are_objects() -> None:
    assert Coordinate("orders") == Coordinate("orders", "")
    assert Naming("users", "role", "r1") != Naming("users", "role", "r2")
    assert Person("ana@x.test") == Person("ana@x.test", "", "", "")
