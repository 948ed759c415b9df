"""A tenant's words for the demo question, read from its mapping: fields, values, conditions.

Takes the project's effective mappings; `live` writes SOQL, SuiteQL and searches with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from firnline.catalog.relative_time import is_relative, resolve
from firnline.errors import FirnlineError
from firnline.spec.effective import EffectiveMapping
from firnline.spec.model import FieldMapping, FromField, FromTags, When

Literal = Callable[[Any], str]

_SIGNS = {"eq": "=", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


class WordingError(FirnlineError):
    """The mapping has a form that the live question cannot put into the vendor's language."""

    code = "demo_wording"


class Wording:
    """One builder's object at one tenant."""

    def __init__(self, mapping: EffectiveMapping, now: datetime) -> None:
        self.source = mapping.source
        self.connection = mapping.connection
        self._object = mapping.object
        self._fields = mapping.fields
        self._now = now

    def _field(self, name: str) -> FieldMapping:
        if name not in self._fields:
            raise WordingError(f"{self._object}.{name} has no source at this tenant")
        return self._fields[name]

    def path(self, name: str) -> str:
        """Return the provider's field that a builder's field is taken from."""
        mapping = self._field(name)
        if isinstance(mapping, FromField):
            return mapping.from_
        if isinstance(mapping, FromTags):
            return mapping.tags
        raise WordingError(f"{self._object}.{name} does not come from one field")

    def stored(self, name: str, word: str) -> Sequence[str]:
        """Return the stored values that stand for the builder's `word`."""
        mapping = self._field(name)
        if not isinstance(mapping, FromField):
            raise WordingError(f"{self._object}.{name} does not come from one field")
        found = [stored for stored, meant in mapping.values.items() if meant == word]
        if not mapping.values or (mapping.otherwise == "keep" and word not in mapping.values):
            found.append(word)
        return found

    def word(self, name: str, value: Any) -> Any:
        """Return the builder's word for a stored value."""
        mapping = self._field(name)
        if isinstance(mapping, FromTags):
            held = (meant for tag, meant in mapping.values.items() if tag in (value or ()))
            return next(held, mapping.otherwise)
        if not isinstance(mapping, FromField) or not mapping.values or value is None:
            return value
        otherwise = value if mapping.otherwise == "keep" else mapping.otherwise
        return mapping.values.get(str(value), otherwise)

    def holds(self, name: str, literal: Literal, *, prefix: str = "") -> str:
        """Return the condition, in SQL, under which a yes-or-no field is true."""
        mapping = self._field(name)
        if not isinstance(mapping, When):
            raise WordingError(f"{self._object}.{name} is not made of conditions")
        parts = [
            self._compared(f"{prefix}{path}", operator, operand, literal)
            for path, operators in mapping.when.items()
            for operator, operand in operators.items()
        ]
        return " AND ".join(parts)

    def _compared(self, column: str, operator: str, operand: Any, literal: Literal) -> str:
        if operator in _SIGNS:
            return f"{column} {_SIGNS[operator]} {literal(self._moment(operand))}"
        if operator in ("in", "notIn"):
            listed = among(column, operand, literal)
            # The vendors count null as "not in"; the builder's condition does not.
            return listed if operator == "in" else f"NOT {listed} AND {column} != null"
        raise WordingError(f"{self._object}: operator {operator!r} is not put into SQL here")

    def _moment(self, operand: Any) -> Any:
        if isinstance(operand, str) and is_relative(operand):
            resolved = resolve(operand, self._now)
            return resolved.date() if operand.startswith("today") else resolved
        return operand


def among(column: str, values: Sequence[Any], literal: Literal) -> str:
    """Return the condition that a column holds one of `values`."""
    return f"{column} IN ({', '.join(literal(value) for value in values)})"


def soql(value: Any) -> str:
    """Return a SOQL literal."""
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
        case int() | float():
            return str(value)
        case _:
            escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"


def suiteql(value: Any) -> str:
    """Return a SuiteQL literal."""
    match value:
        case bool():
            return "'T'" if value else "'F'"
        case date():
            return f"TO_DATE('{value:%Y-%m-%d}', 'YYYY-MM-DD')"
        case int() | float():
            return str(value)
        case _:
            escaped = str(value).replace("'", "''")
            return f"'{escaped}'"


def wordings(mappings: Mapping[str, EffectiveMapping], now: datetime) -> Mapping[str, Wording]:
    """Return the wording of every object."""
    return {name: Wording(mapping, now) for name, mapping in mappings.items()}
