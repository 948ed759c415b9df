"""`firnline people`: who is known in which connected system, and which agents may act for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.graph.people import KnownPerson, Standing, known_people, rosters
from firnline.graph.session import LazySnapshot, Session
from firnline.graph.shape import TenantGraph
from firnline.spec.agents import AgentSpec, effective_agents

_COLOURS = {"e-mail": "green", "link": "green", "unmatched": "dim", "inactive": "yellow"}


def people(tenant: TenantArgument, directory: Directory = Path(), as_json: AsJson = False) -> None:
    """Show who is known in which connected system, by e-mail or link, and who is not."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            spec = app.tenant(tenant)
            found = await known(app, tenant)
        agents = effective_agents(app.project.integration, spec)
        if as_json:
            told = [{"name": name, **_agent(each)} for name, each in sorted(agents.items())]
            everyone = [each.as_dict() for each in found]
            print_json({"tenant": tenant, "people": everyone, "agents": told})
        else:
            _show(found, agents)

    run(work)


async def known(app: App, tenant: str) -> Sequence[KnownPerson]:
    """Return everybody whom the tenant's systems know or a link names."""
    graph = await app.graphs.graph(tenant)

    def look(graph: TenantGraph, snapshot: LazySnapshot) -> list[KnownPerson]:
        stored = app.graphs.decisions(graph, Principal(tenant, ""), snapshot).stored
        return known_people(rosters(graph, stored, snapshot), app.tenant(tenant).people)

    async with Session(await app.database(tenant)) as session:
        found: list[KnownPerson] = await session.run(look, graph)
    return found


def _agent(spec: AgentSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def _show(found: Sequence[KnownPerson], agents: Mapping[str, AgentSpec]) -> None:
    console = Console()
    if found:
        places = list(found[0].at)
        table = Table("Person", "Name", *map(escape, places), box=box.SIMPLE_HEAD, pad_edge=False)
        for person in found:
            cells = (_cell(person.at[place]) for place in places)
            table.add_row(escape(person.email), escape(person.name), *cells)
        console.print(table)
        nowhere = sum(not any(at.is_matched for at in each.at.values()) for each in found)
        console.print(f"{len(found)} people, {nowhere} of them matched nowhere: without rights")
    else:
        console.print("Nobody is known yet: sync the systems first.")
    if not agents:
        console.print("No agent is declared: any agent acts with the rights of its person.")
        return
    table = Table("Agent", "Objects", "Operations", "Purposes", "Writes", box=box.SIMPLE_HEAD)
    for name, spec in sorted(agents.items()):
        limits = (_limit(each) for each in (spec.objects, spec.operations, spec.purposes))
        table.add_row(escape(name), *limits, "no" if spec.read_only else "yes")
    console.print(table)


def _cell(standing: Standing) -> str:
    colour = _COLOURS.get(standing.state, "red")
    details = escape(" ".join(part for part in (standing.user, standing.note) if part))
    return f"[{colour}]{standing.state}[/] {details}".strip()


def _limit(names: Sequence[str] | None) -> str:
    return "any" if names is None else escape(", ".join(names) or "none")
