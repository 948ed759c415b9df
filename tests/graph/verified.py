"""Worlds in which every object is verified, beside worlds whose mirror says the same already.

The source of a verified world is a table of the test's own: which records it shows a person now.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.graph.policies import with_policy
from tests.graph.rights import grant
from tests.graph.world import PEOPLE, Rows, World, seeded

from firnline.access.model import AllOf, FieldIn, ObjectAccess
from firnline.connectors.protocol import VerifyQuery
from firnline.errors import FirnlineError
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.policy.checks import CANDIDATES_MAX, Verification
from firnline.graph.respond import Responder
from firnline.spec.model import AccessSpec

VERIFY = {"mode": "verify"}
EXPOSED = tuple(place for place in seeded() if place[1] not in ("grants", "shares"))
Shown = dict[tuple[str, str], frozenset[str]]  # (connection, object) -> keys


@dataclass
class Source:
    """What the source shows whoever asks, and what it was asked."""

    shown: Shown
    asked: list[tuple[str, str, str, tuple[str, ...]]] = field(default_factory=list)
    hidden: dict[str, frozenset[str]] = field(default_factory=dict)  # object -> fields
    asked_fields: list[tuple[str, str]] = field(default_factory=list)
    failure: BaseException | None = None
    failing: Collection[str] = ()  # connections; none: all

    async def visible(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return the keys that are shown (`checks.SourceAsker`)."""
        assert deadline_s > 0
        self.asked.append((person, connection, query.object.name, query.keys))
        assert len(set(query.keys)) == len(query.keys)
        if self.failure is not None and (not self.failing or connection in self.failing):
            raise self.failure
        return self.shown[connection, query.object.name] & frozenset(query.keys)

    async def hidden_fields(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return the fields that are kept back (`checks.SourceAsker`)."""
        assert connection == "crm" and not query.keys, "the help desk is not asked about fields"
        self.asked_fields.append((person, query.object.name))
        if self.failure is not None and (not self.failing or connection in self.failing):
            raise self.failure
        return self.hidden.get(query.object.name, frozenset())

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Return every (object, key) that was asked about, as often as it was."""
        return [(name, key) for _, _, name, keys in self.asked for key in keys]


class DownError(FirnlineError):
    """The source does not answer."""

    code = "down"
    retryable = True


class VerifiedWorld(World):
    """A world with a source to ask."""

    source: Source
    candidates_max = CANDIDATES_MAX

    def renew(self) -> None:
        """Forget what was built so far, verdicts too."""
        super().renew()
        self.source = getattr(self, "source", None) or Source(everything_shown())
        self.verification = Verification(
            self.source, self.clock, candidates_max=self.candidates_max
        )
        self.responder = Responder(
            self.graphs,
            databases=self._database,
            operations=self.state,
            seal=CursorSeal(b"k" * 32),
            clock=self.clock,
            resident=self.resident,
            kept_bytes=1 << 24 if self.resident is not None else 0,
            verification=self.verification,
        )

    def state_access(self, **access: Any) -> None:
        """Make this the integration's access section; what is not stated is verified."""
        providers = {"alpine": {"*": VERIFY}, "basalt": {"*": VERIFY}}
        stated = AccessSpec.model_validate(
            {"objects": {"*": VERIFY}, "providers": providers, **access}
        )
        integration = self.project.integration.model_copy(update={"access": stated})
        self.project = self.project.model_copy(update={"integration": integration})
        self.renew()


def everything_shown(rows: Rows | None = None) -> Shown:
    """Return a source that shows whatever is in the mirror."""
    held = rows or seeded()
    return {place: frozenset(row["id"] for row in held[place]) for place in EXPOSED}


def some_shown(seed: int, share: float = 0.6) -> Shown:
    """Return a source that shows a part of what is in the mirror."""
    draw = random.Random(seed)
    return {
        place: frozenset(key for key in sorted(keys) if draw.random() < share)
        for place, keys in everything_shown().items()
    }


def verified_world(home: Path, *, is_resident: bool = False, **access: Any) -> VerifiedWorld:
    """Return a filled world in which everything is verified, unless `access` says otherwise."""
    world = VerifiedWorld.open(home)
    if is_resident:
        world.resident = ResidentTables(1 << 28)
    world.state_access(**access)
    world.fill(seeded())
    return world


def mirrored_world(home: Path) -> World:
    """Return a filled world that mirrors everything."""
    return with_policy(home, {})


def mirror_says(world: World, shown: Shown) -> None:
    """Let the mirrored rights of everybody end where the source's do."""
    world.write(_grants(shown))


def _grants(shown: Shown) -> Rows:
    held: dict[str, list[dict[str, Any]]] = {"crm": [], "desk": []}
    for email, objects in PEOPLE.items():
        for name, access in objects.items():
            connection = "desk" if name == "tickets" else "crm"
            narrowed = _narrowed(access, shown[connection, name])
            held[connection].append(grant(email, name, narrowed))
    return {("crm", "grants"): held["crm"], ("desk", "grants"): held["desk"]}


def _narrowed(access: ObjectAccess, keys: frozenset[str]) -> ObjectAccess:
    return replace(access, rows=AllOf((access.rows, FieldIn("id", keys))))


def without_told(response: Mapping[str, Any]) -> Any:
    """Return a response without what only a verified world tells."""
    told = response.get("extensions", {}).get("access", ())
    extensions = {
        **response.get("extensions", {}),
        "access": [each for each in told if each["effect"] != "verified"],
    }
    extensions.pop("cache", None)
    return {**response, "extensions": extensions}
