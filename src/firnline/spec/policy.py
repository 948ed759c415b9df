"""The parts of the builder's policy: row conditions, masks, limits of purpose, and tests of it.

`spec.model` puts them into AccessSpec; `spec.rules.policy` checks what a single model cannot see,
and the graph binds them into every scan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from firnline.spec.closed import Closed

# What a condition may compare with: facts of the verified token.
PRINCIPAL_FACTS = ("email", "name", "tenant", "agent", "purpose")
ATTRIBUTES = "attributes."

Rows = Mapping[str, Any]


class Redact(Closed):
    """Show a text with every match of a pattern as ***."""

    redact: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """A regular expression of RE2."""


# None is a mask, too: the value is null.
Mask = Literal["hash", "last4", "year"] | Redact | None


_MASKED_TEXT = frozenset({"id", "string", "enum"})
_MASKED_TIME = frozenset({"date", "timestamp"})


def fits_mask(mask: Mask, type_name: str) -> bool:
    """Say whether a field of a type can be shown under a mask and keep its type."""
    if mask is None:
        return True
    return type_name in (_MASKED_TIME if mask == "year" else _MASKED_TEXT)


class OnlyFor(Closed):
    """Who may ask for an object at all. Every other token finds nothing of it."""

    agents: tuple[str, ...] | None = None
    """The agents that may act for people here; any agent when absent."""

    purposes: tuple[str, ...] | None = None
    """What an agent may read for; its token must name one of these. Anything when absent."""

    people: bool = False
    """Whether people may ask themselves, without an agent."""

    operations: tuple[str, ...] | None = None
    """The published operations, by name or documentId, that may touch it; anything when absent."""

    def allows(self, agent: str, purpose: str, operation: Collection[str] = ()) -> bool:
        """Say whether a token with this agent, empty for nobody's, and purpose may ask.

        `operation` is what is asked, by the names it is published under.
        """
        if self.operations is not None and not set(self.operations) & set(operation):
            return False
        if not agent:
            return self.people
        is_agent = self.agents is None or agent in self.agents
        return is_agent and (self.purposes is None or purpose in self.purposes)


class Asker(Closed):
    """Whose token a test of the policy stands for."""

    email: str
    """The person's e-mail address."""

    agent: str = ""
    """Who acts for the person."""

    purpose: str = ""
    """What the agent reads for."""

    operation: str = ""
    """The published operation that is asked."""

    attributes: Mapping[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """The session's attributes."""


class Expectation(Closed):
    """What the asker gets of the record."""

    visible: bool
    """Whether they see the record at all."""

    fields: Mapping[str, Any] = Field(default_factory=dict)
    """Field -> the value that is answered, masks applied."""

    hidden: tuple[str, ...] = ()
    """Fields that do not exist for them."""

    allowed: tuple[str, ...] = ()
    """Verbs that they may use: `update`, or of a field `amount.update`."""

    refused: tuple[str, ...] = ()
    """Verbs that they may not use."""

    presets: Mapping[Literal["create", "update"], Mapping[str, Any]] = Field(default_factory=dict)
    """What their writes set."""


class PolicyTest(Closed):
    """One test of the policy, run by `firnline check` without any data."""

    name: str = ""
    """What the test is about."""

    person: str | None = None
    """The e-mail address of somebody who asks without an agent or attributes."""

    principal: Asker | None = None
    """Whoever asks, in full; instead of `person`."""

    object: str
    """The builder's object."""

    record: Mapping[str, Any] = Field(default_factory=dict)
    """Field -> value; a to-one relation holds the related record's fields."""

    expect: Expectation
    """What the asker gets."""

    @property
    def asker(self) -> Asker:
        """Return who asks."""
        return self.principal or Asker(email=self.person or "")


def joined(outer: Rows, inner: Rows) -> Rows:
    """Return row conditions that hold where both do."""
    if not outer or not inner or outer == inner:
        return outer or inner
    return {"and": (outer, inner)}


def strongest(outer: Mapping[str, Mask], inner: Mapping[str, Mask]) -> Mapping[str, Mask]:
    """Return masks that show no more than either side's: two different ones make null."""
    both = {name for name in outer if name in inner and outer[name] != inner[name]}
    return {**outer, **inner, **dict.fromkeys(both)}


def narrower(outer: OnlyFor | None, inner: OnlyFor | None) -> OnlyFor | None:
    """Return the limits of both."""
    if outer is None or inner is None:
        return outer or inner
    return OnlyFor(
        agents=_common(outer.agents, inner.agents),
        purposes=_common(outer.purposes, inner.purposes),
        people=outer.people and inner.people,
        operations=_common(outer.operations, inner.operations),
    )


def _common(outer: tuple[str, ...] | None, inner: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if outer is None or inner is None:
        return inner if outer is None else outer
    return tuple(each for each in outer if each in inner)
