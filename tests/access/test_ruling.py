"""What the policy's rulings tell apart: whoever differs in any of it shares nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from firnline.access.ruling import EVERYTHING_DENIED, NOT_GRANTED, UNRULED, FieldRuling, Ruling

FIELD = FieldRuling({"read": "no"}, {"id": {"eq": "1"}}, frozenset({("shop", "orders")}))
RULING = Ruling(
    "", {"id": {"eq": "1"}}, refused={"create": "no"}, fields={"code": FIELD}, presets={}
)


def changed_field(**changes: Any) -> Ruling:
    return replace(RULING, fields={"code": replace(FIELD, **changes)})


def test_nothing_may_be_written_where_no_policy_says_so() -> None:
    assert set(UNRULED.refused) == {"create", "update", "delete"}
    assert UNRULED.refused == NOT_GRANTED == EVERYTHING_DENIED.refused
    assert set(NOT_GRANTED.values()) == {"no policy allows it"}


def test_ruling_that_says_nothing_takes_nothing_away_but_writing() -> None:
    assert (UNRULED.denied, UNRULED.rows, UNRULED.fields, UNRULED.presets) == ("", {}, {}, {})
    assert UNRULED.reads == frozenset()
    assert UNRULED.is_timeless
    assert FieldRuling().is_timeless
    assert FieldRuling().refused == {}


CHANGES: dict[str, tuple[Ruling, bool, bool]] = {
    # what changed: (shows other records, lets other things be done)
    "denied": (replace(RULING, denied="no"), True, True),
    "rows": (replace(RULING, rows={"id": {"eq": "2"}}), True, False),
    "refused verb": (replace(RULING, refused={"update": "no"}), False, True),
    "reason of a refused verb": (replace(RULING, refused={"create": "never"}), False, True),
    "field": (replace(RULING, fields={"level": FIELD}), False, True),
    "no field": (replace(RULING, fields={}), False, True),
    "refused verb of a field": (changed_field(refused={"filter": "no"}), False, True),
    "reason of a field's refused verb": (changed_field(refused={"read": "never"}), False, True),
    "field on every record": (changed_field(rows={}), False, True),
    "field on other records": (changed_field(rows={"id": {"eq": "2"}}), False, False),
    "presets": (replace(RULING, presets={"create": {"code": "x"}}), False, False),
}


@pytest.mark.parametrize(("other", "records", "rights"), CHANGES.values(), ids=CHANGES)
def test_rulings_are_told_apart_by_all_that_they_decide(
    other: Ruling, records: bool, rights: bool
) -> None:
    assert (other.facts != RULING.facts) is records
    assert (other.rights != RULING.rights) is rights
    assert other.everything != RULING.everything


def test_order_in_which_verbs_and_fields_were_found_tells_nothing_apart() -> None:
    verbs = {"create": "no", "update": "no"}
    fields = {"a": replace(FIELD, refused=verbs), "b": FIELD}
    one = replace(RULING, refused=verbs, fields=fields)
    turned = dict(reversed(verbs.items()))
    other = replace(
        RULING, refused=turned, fields={"b": FIELD, "a": replace(FIELD, refused=turned)}
    )
    assert one.everything == other.everything
    assert one.rights == other.rights


def test_values_of_conditions_are_not_printed() -> None:
    assert "eq" not in repr(RULING)
