"""Rules about agents and links of people: they name what exists, and a tenant's only narrow."""

from __future__ import annotations

from collections.abc import Mapping

from firnline.spec.agents import AgentSpec, covers
from firnline.spec.model import IntegrationSpec, TenantSpec
from firnline.spec.problems import quoted
from firnline.spec.rules.findings import Findings, unknown

_WIDENS = "A tenant may narrow the integration's agents, never widen them."


def check_agents(
    findings: Findings, integration: IntegrationSpec, agents: Mapping[str, AgentSpec]
) -> None:
    """Report builder's objects that agents name and that do not exist."""
    for name, agent in agents.items():
        for position, each in enumerate(agent.objects or ()):
            # Names of the providers' own types hold an underscore; they are each tenant's.
            is_builders = "_" not in each and not each.endswith("*")
            if is_builders and each not in integration.objects:
                message, hint = unknown(each, integration.objects, what="object")
                findings.value(
                    ("agents", name, "objects", position), "unknown_object", message, hint
                )


def check_tenant_agents(
    findings: Findings, integration: IntegrationSpec, tenant: TenantSpec
) -> None:
    """Report agents that only the tenant declares, and what it allows them beyond the rest."""
    check_agents(findings, integration, tenant.agents)
    for name, agent in tenant.agents.items() if integration.agents else ():
        outer = integration.agents.get(name)
        if outer is None:
            message = f"the integration does not declare the agent {quoted(name)}"
            findings.key(("agents", name), "override_widens", message, _WIDENS)
            continue
        for part in ("operations", "objects", "purposes"):
            allowed, wanted = getattr(outer, part), getattr(agent, part)
            for position, each in enumerate(wanted or () if allowed is not None else ()):
                if not any(
                    covers(known, each) if part == "objects" else known == each for known in allowed
                ):
                    message = f"the integration does not allow {quoted(name)} {quoted(each)}"
                    place = ("agents", name, part, position)
                    findings.value(place, "override_widens", message, _WIDENS)


def check_people(findings: Findings, tenant: TenantSpec) -> None:
    """Report links to connections that the tenant does not have, and one user for two people."""
    taken: dict[tuple[str, str], str] = {}
    for email, links in tenant.people.items():
        for connection, user in links.items():
            path = ("people", email, connection)
            if connection not in tenant.connections:
                message, hint = unknown(connection, tenant.connections, what="connection")
                findings.key(path, "unknown_connection", message, hint)
            other = taken.setdefault((connection, user), email)
            if other != email:
                message = f"{quoted(user)} is linked to {quoted(other)} already"
                hint = "Two people would have the same rights; give each their own user."
                findings.value(path, "user_linked_twice", message, hint)
