"""`firnline check`: every mistake in a project's files, with its place."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.cli.running import AsJson, print_json
from firnline.clock import SystemClock
from firnline.graph.policy.tests_of_policies import policy_problems
from firnline.spec.check import notes_on
from firnline.spec.effective import effective_mappings
from firnline.spec.load import load_project
from firnline.spec.model import Project
from firnline.spec.problems import SpecError

_PROBLEMS_SHOWN_MAX = 200


def check(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The project directory.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Check firnline.yaml and tenants/*.yaml and run the tests of their access policies.

    Exit code 2 when something is wrong.
    """
    try:
        project = load_project(directory)
        failed = policy_problems(directory, project, now=SystemClock().now())
        if failed:
            raise SpecError(failed)
    except SpecError as error:
        _refuse(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print_json({"ok": True, "problems": [], **_summary(project)})
    else:
        _show(project)


def _refuse(error: SpecError, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": False, "problems": [problem.as_dict() for problem in error.problems]})
        return
    for problem in error.problems[:_PROBLEMS_SHOWN_MAX]:
        typer.echo(str(problem))
        if problem.hint:
            typer.echo(f"  -> {problem.hint}")
    more = len(error.problems) - _PROBLEMS_SHOWN_MAX
    if more > 0:
        typer.echo(f"... and {more} more; `--json` lists them all.")
    typer.echo(f"{_counted(error.problems, 'problem')} found.", err=True)


def _counted(things: Sized, what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _summary(project: Project) -> dict[str, Any]:
    """Return what the project declares, by tenant."""
    return {
        "integration": project.integration.name,
        "objects": list(project.integration.objects),
        "tenants": {name: _tenant(project, name) for name in project.tenants},
    }


def _tenant(project: Project, name: str) -> dict[str, Any]:
    mappings = effective_mappings(project, name)
    return {
        "connections": {
            connection: declared.provider
            for connection, declared in project.tenants[name].connections.items()
        },
        "objects": {
            each: {
                "connection": mapping.connection,
                "source": mapping.source,
                "fields_mapped": len(mapping.fields),
                "fields": len(project.integration.objects[each].fields),
            }
            for each, mapping in mappings.items()
        },
        "notes": [{"code": note.code, "message": note.message} for note in notes_on(project, name)],
    }


def _show(project: Project) -> None:
    console = Console()
    facts = _summary(project)
    counts = f"{_counted(facts['objects'], 'object')}, {_counted(facts['tenants'], 'tenant')}"
    console.print(f"[bold]{escape(project.integration.name)}[/] is valid: {counts}.")
    for tenant, found in facts["tenants"].items():
        table = Table(title=escape(tenant), title_justify="left")
        for heading in ("object", "from", "fields mapped"):
            table.add_column(heading)
        for each, mapping in found["objects"].items():
            source = f"{mapping['connection']}.{mapping['source']}"
            mapped = f"{mapping['fields_mapped']} of {mapping['fields']}"
            table.add_row(each, escape(source), mapped)
        console.print(table)
        for note in found["notes"]:
            console.print(f"  note: {escape(note['message'])}")
    if not project.tenants:
        console.print("No tenants yet: add tenants/<tenant>.yaml.")
