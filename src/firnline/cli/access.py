"""`firnline access`: what a person may read and why, and how rights differ."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.cli.compared_access import compared, rights_in, show_differences, show_rights
from firnline.cli.explained_access import show_access
from firnline.cli.running import AsJson, Directory, print_json, run
from firnline.graph.explain.access import AccessExplainer
from firnline.graph.policy.checks import Checks, until_settled
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.session import LazySnapshot, Session

access = typer.Typer(help="Explain who may read what, and why.", no_args_is_help=True)
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
def rights(
    tenant: Tenant,
    person: Annotated[str, typer.Option(help="E-mail of the person.")],
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Show what a person may read; with --json in the form that `access diff --since` takes."""

    async def work() -> None:
        found = await rights_in(directory, tenant, [person])
        if as_json:
            told = {name: each.as_dict() for name, each in found.of[person].items()}
            at = found.at.isoformat(timespec="seconds")
            print_json({"tenant": tenant, "person": person, "at": at, "rights": told})
        else:
            show_rights(found.of[person])

    run(work)


@access.command()
def diff(
    tenant: Tenant,
    person: Annotated[list[str], typer.Option(help="E-mail of a person; one or two.")],
    since: Annotated[
        Path | None, typer.Option(help="What `access rights --json` printed for the person.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another version of the project directory.")
    ] = None,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Show in which objects, fields and records rights differ.

    Between two people, of one person since a time, or under two versions of the project.
    """

    async def work() -> None:
        names, found = await compared(directory, tenant, person, since=since, against=against)
        if as_json:
            print_json({"between": names, "differences": [each.as_dict() for each in found]})
        else:
            show_differences(names, found)

    run(work)


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
