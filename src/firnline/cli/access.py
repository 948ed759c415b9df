"""`firnline access`: why a person may read what they may, and how two people differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.cli.explained_access import show_access
from firnline.cli.running import AsJson, Directory, print_json, run
from firnline.errors import UsageError
from firnline.graph.explain.access import AccessExplainer
from firnline.graph.explain.access_diff import Difference, differences, rights_of
from firnline.graph.policy.checks import Checks, until_settled
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.session import LazySnapshot, Session
from firnline.graph.shape import TenantGraph

access = typer.Typer(help="Explain who may read what, and why.")
Tenant = Annotated[str, typer.Option(help="The tenant's name.")]


@access.command()
def explain(
    tenant: Tenant,
    person: Annotated[str, typer.Option(help="E-mail of the person.")],
    object_: Annotated[str, typer.Option("--object", help="A type of the graph: Account.")],
    record: Annotated[str, typer.Option(help="The record's key at the source.")] = "",
    field: Annotated[str, typer.Option(help="A field of the object.")] = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Say which rule lets a person read an object, field or record, or keeps them from it."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            app.tenant(tenant)
            facts = await explained(app, tenant, person, object_, field=field, record=record)
        if as_json:
            print_json(facts)
        else:
            show_access(Console(soft_wrap=True), facts)

    run(work)


@access.command()
def diff(
    tenant: Tenant,
    person: Annotated[list[str], typer.Option(help="E-mail of a person; give two.")],
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Show in which objects, fields and records the rights of two people differ."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            app.tenant(tenant)
            found = await compared(app, tenant, person)
        if as_json:
            print_json({"people": person, "differences": [each.as_dict() for each in found]})
        else:
            _show_differences(person, found)

    run(work)


async def compared(app: App, tenant: str, people: Sequence[str]) -> list[Difference]:
    """Return how the rights of two people differ; raises UsageError for another number."""
    if len(people) != 2:
        raise UsageError("two people are compared", hint="Give --person twice.")
    graph = await app.graphs.graph(tenant)
    now = app.clock.now()

    def look(graph: TenantGraph, snapshot: LazySnapshot) -> list[Difference]:
        rights = []
        for email in people:
            principal = Principal(tenant, email.lower())
            decisions = app.graphs.decisions(graph, principal, snapshot)
            rights.append(
                rights_of(graph, decisions, principal=principal, now=now, snapshot=snapshot)
            )
        return list(differences(*rights))

    async with Session(await app.database(tenant)) as session:
        found: list[Difference] = await session.run(look, graph)
    return found


def _show_differences(people: Sequence[str], found: Sequence[Difference]) -> None:
    console = Console()
    if not found:
        console.print("Their rights are the same.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("object", "what", *people):
        table.add_column(escape(title), overflow="fold")
    for each in found:
        table.add_row(*map(escape, (each.object, each.what, each.first, each.second)))
    console.print(table)


async def explained(
    app: App, tenant: str, person: str, type_name: str, *, field: str = "", record: str = ""
) -> dict[str, Any]:
    """Return what decides about one object for one person."""
    graph = await app.graphs.graph(tenant)
    principal = Principal(tenant, person.lower())

    def look(decisions: Decisions, checks: Checks | None, snapshot: LazySnapshot) -> dict[str, Any]:
        context = GraphContext(
            principal=principal,
            graph=graph,
            decisions=decisions,
            checks=checks,
            now=app.clock.now(),
            resolve=unexecuted,
            freshness=dict,
        )
        return AccessExplainer(context, snapshot).explain(type_name, field=field, record=record)

    async with Session(await app.database(tenant)) as session:
        decisions = await session.run(app.graphs.decisions, graph, principal)
        checks = app.verification.checks(decisions, principal)
        look_again = partial(session.run, look, decisions, checks)
        found: dict[str, Any] = await until_settled(look_again, checks)
    return {"person": principal.email, **found}
