"""Row rules in words. Takes the rules that connectors make; operators read the result."""

from __future__ import annotations

from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    RowRule,
    Via,
    ViaChild,
)

_VALUES_SHOWN = 5


def in_words(rule: RowRule) -> str:
    """Return a rule as a sentence's part."""
    match rule:
        case Everything():
            return "every record"
        case Nothing():
            return "no record"
        case FieldIn(name, values):
            return f"{name} is {_listed(values)}"
        case FieldIsNull(name):
            return f"{name} is empty"
        case Listed(name, key_field, name_field, values):
            return f"{name} lists it ({key_field}) for {name_field} {_listed(values)}"
        case Via(name, target, inner):
            return f"its {name} is a {target} where {in_words(inner)}"
        case ViaChild(child, name, inner):
            return f"a {child} refers to it by {name} where {in_words(inner)}"
        case AnyOf(rules):
            return " or ".join(f"({in_words(each)})" for each in rules) or "no record"
        case AllOf(rules):
            return " and ".join(f"({in_words(each)})" for each in rules) or "every record"


def _listed(values: frozenset[str]) -> str:
    shown = sorted(values)[:_VALUES_SHOWN]
    more = f" and {len(values) - len(shown)} more" if len(values) > len(shown) else ""
    return "one of " + ", ".join(shown) + more
