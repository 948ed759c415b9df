"""An object with references to several types, compounds and a picklist, and rows of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from firnline.catalog.model import CompoundInfo, EnumValue, FieldInfo, ObjectInfo, Reference

PLACE = {"street": "place_street", "city": "place_city", "latitude": "place_latitude"}
MOODS = (
    EnumValue(value="1", label="Very happy"),
    EnumValue(value="2", label="Unhappy"),
    EnumValue(value="calm", label="Calm"),
    EnumValue(value="0", label="Happy enough", active=False),
)
NOTES = ObjectInfo(
    name="notes",
    key="id",
    fields=(
        FieldInfo(name="id", type="id"),
        FieldInfo(name="subject", type="string"),
        FieldInfo(
            name="what_id",
            type="id",
            reference=Reference(
                targets=("accounts", "deals", "users"), relation="What", inverse="Notes"
            ),
        ),
        FieldInfo(
            name="who_id",
            type="id",
            reference=Reference(targets=("users", "accounts"), relation="Who"),
        ),
        FieldInfo(name="place_street", type="string"),
        FieldInfo(name="place_city", type="string"),
        FieldInfo(name="place_latitude", type="decimal"),
        FieldInfo(name="first_name", type="string"),
        FieldInfo(name="name", type="string"),
        FieldInfo(name="mood", type="string", label="Mood", source_type="picklist", values=MOODS),
    ),
    compounds=(
        CompoundInfo(name="Place", label="Meeting place", source_type="address", parts=PLACE),
        CompoundInfo(name="name", parts={"firstName": "first_name", "gone": "not_there"}),
    ),
)


def drawn_notes(seed: int, records: Sequence[str]) -> list[dict[str, Any]]:
    """Return notes about `records`, some of which are about nothing."""
    draw = random.Random(seed)
    words = ["Alp", "Äther", "o'Neil", 'quote"d', "", "日本", "a\0b"]

    def some(choices: Sequence[Any], nulls: float = 0.2) -> Any:
        return None if draw.random() < nulls else draw.choice(choices)

    return [
        {
            "id": f"n{n:02d}",
            "subject": some(words),
            "what_id": some([*records, "gone"], 0.1),
            "who_id": some(["u1", "u2", "u5", "a1", "a2", "gone"], 0.1),
            "place_street": some(words),
            "place_city": some(["Ulm", "Graz"]),
            "place_latitude": some([Decimal(k * 5) / 4 for k in range(9)]),
            "first_name": some(words),
            "name": some(words),
            "mood": some([each.value for each in MOODS]),
        }
        for n in range(1, 41)
    ]
