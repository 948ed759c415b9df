"""What the builder's policy says of one object to one principal, beside the source's own rights.

The graph binds the spec's policy to a verified principal; scans receive the result through
`Decisions`. A ruling can only take away: rows are and-ed to what the source shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Nothing is written that no policy allows.
NOT_GRANTED: Mapping[str, str] = dict.fromkeys(
    ("create", "update", "delete"), "no policy allows it"
)


@dataclass(frozen=True, slots=True)
class FieldRuling:
    """The builder's policy for one field, with the principal's facts in place.

    `refused` maps verbs that the principal may not use it for to the reason. On records that do not
    meet `rows` its value counts as null; `reads` names whose records decide that.
    """

    refused: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reads: frozenset[tuple[str, str]] = frozenset()
    is_timeless: bool = True

    @property
    def facts(self) -> tuple[str, str]:
        """Return all that tells the ruling from those for others."""
        return repr(sorted(self.refused.items())), repr(self.rows)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The builder's policy for one object, with the principal's facts in place.

    `denied` says why nothing of the object may be seen, empty where something may. `rows` are the
    conditions that records must meet; `reads` names the (connection, object) pairs whose records
    decide them and what fields show. `is_timeless` is false where rows change with the clock.
    `refused` maps verbs that the principal may not use to the reason, `fields` holds what is said
    of single fields, and `presets` what a write sets whoever asks, by verb and field.
    """

    denied: str = ""
    rows: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reads: frozenset[tuple[str, str]] = frozenset()
    is_timeless: bool = True
    refused: Mapping[str, str] = field(default_factory=lambda: NOT_GRANTED)
    fields: Mapping[str, FieldRuling] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def facts(self) -> tuple[str, str]:
        """Return all that tells which records it shows from those of others."""
        return self.denied, repr(self.rows)

    @property
    def rights(self) -> tuple[str, str, str]:
        """Return what it lets be done with which fields, whatever the records are."""
        fields = [(name, each.facts[0], bool(each.rows)) for name, each in self.fields.items()]
        return self.denied, repr(sorted(self.refused.items())), repr(sorted(fields))

    @property
    def everything(self) -> tuple[object, ...]:
        """Return all that tells the ruling from those for others."""
        fields = [(name, each.facts) for name, each in sorted(self.fields.items())]
        return (*self.facts, *self.rights, repr(fields), repr(self.presets))


UNRULED = Ruling()
EVERYTHING_DENIED = Ruling(denied="the builder's policy was not applied")
