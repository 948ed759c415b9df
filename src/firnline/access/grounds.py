"""What at a source gives a person their rights, in the source's own words.

Connectors fill these when somebody asks why: never while questions are answered, for the names of
every role and permission set would have to be looked up for nothing. For operators alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Effect = Literal["gives", "takes"]


@dataclass(frozen=True, slots=True)
class Ground:
    """One thing that gives a right or takes it away.

    `kind` is the source's word for it (profile, role, permission set), `name` what people there
    call it, `within` the group that it counts as a part of. `right` says what is given or taken.
    """

    effect: Effect
    right: str
    kind: str
    name: str
    within: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON has it."""
        told = {
            "effect": self.effect,
            "right": self.right,
            "kind": self.kind,
            "name": self.name,
            "within": self.within,
        }
        return {name: each for name, each in told.items() if each}


@dataclass(frozen=True, slots=True)
class Coordinate:
    """An object of a source, or one of its fields."""

    object: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Naming:
    """A value that decides about records: what stands in `field` of a record of `object`."""

    object: str
    field: str
    value: str
