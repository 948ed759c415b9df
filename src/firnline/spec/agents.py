"""`agents:` and `people:` of the spec: who acts for people, and who people are elsewhere.

The integration and the tenant may both declare agents; what holds is what both allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints

from firnline.spec.closed import Closed

if TYPE_CHECKING:
    from firnline.spec.model import IntegrationSpec, TenantSpec

AgentName = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f]{1,200}$")]
# A type of the graph, such as Account or Salesforce_Lead; with `*` all that begin alike.
TypePattern = Annotated[str, StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_]*\*?|\*)$")]
Listed = Annotated[str, StringConstraints(pattern=r"^\S{1,200}$")]
EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^\s@]{1,64}@[^\s@]{1,189}$")]
UserKey = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
PeopleLinks = Mapping[EmailAddress, Mapping[str, UserKey]]


class AgentSpec(Closed):
    """What an agent may do for a person, within that person's own rights."""

    description: str = ""
    """What the agent is for."""

    operations: tuple[Listed, ...] | None = None
    """Names or documentIds of the published operations it may run; any document when absent."""

    objects: tuple[TypePattern, ...] | None = None
    """Types of the graph it may read, such as `Account` or `Crm_*`; all when absent."""

    purposes: tuple[Listed, ...] | None = None
    """Purposes of which its token must name one; any or none when absent."""

    read_only: bool = Field(default=False, alias="readOnly")
    """Whether it may never write."""


def effective_agents(integration: IntegrationSpec, tenant: TenantSpec) -> Mapping[str, AgentSpec]:
    """Return the agents that may act for people of `tenant`; empty: agents are not declared.

    A side that declares none leaves it to the other; an agent that one side misses is refused.
    """
    outer, inner = integration.agents, tenant.agents
    if not outer or not inner:
        return outer or inner
    return {name: narrowed_agent(outer[name], inner[name]) for name in outer if name in inner}


def narrowed_agent(outer: AgentSpec, inner: AgentSpec) -> AgentSpec:
    """Return what both sides allow an agent."""
    return AgentSpec(
        description=inner.description or outer.description,
        operations=_both(outer.operations, inner.operations),
        objects=_both_types(outer.objects, inner.objects),
        purposes=_both(outer.purposes, inner.purposes),
        readOnly=outer.read_only or inner.read_only,
    )


def _both(outer: tuple[str, ...] | None, inner: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if outer is None or inner is None:
        return inner if outer is None else outer
    return tuple(name for name in outer if name in inner)


def _both_types(
    outer: tuple[str, ...] | None, inner: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Return the patterns that one side has and the other covers."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    covered = [name for name in inner if any(covers(each, name) for each in outer)]
    covered += [name for name in outer if any(covers(each, name) for each in inner)]
    return tuple(dict.fromkeys(covered))


def covers(pattern: str, name: str) -> bool:
    """Say whether all that `name` stands for is among what `pattern` stands for."""
    if pattern.endswith("*"):
        return name.rstrip("*").startswith(pattern[:-1])
    return pattern == name
