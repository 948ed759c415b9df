"""`firnline operations`: publishes and lists persisted operations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from firnline.app import opened
from firnline.cli.running import AsJson, Directory, print_json, run
from firnline.errors import UsageError
from firnline.state.rows import OperationRow

operations = typer.Typer(
    help="Publish operations ahead and execute them by id.", no_args_is_help=True
)
Tenant = Annotated[str, typer.Option("--tenant", "-t", help="The tenant's name.")]


@operations.command()
def publish(
    file: Annotated[Path, typer.Argument(help="A .graphql file with one named operation.")],
    tenant: Tenant,
    operation_id: Annotated[
        str, typer.Option("--id", help="An id of your own; the document's digest when absent.")
    ] = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Check an operation against the tenant's schema and store it."""
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}")
    text = file.read_text("utf-8")

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            app.tenant(tenant)
            row = await app.publish(tenant, text, operation_id=operation_id)
        if as_json:
            print_json(_facts(row))
        else:
            typer.echo(f"{row.name}: published as documentId {row.operation_id}")

    run(work)


@operations.command("list")
def list_operations(tenant: Tenant, directory: Directory = Path(), as_json: AsJson = False) -> None:
    """List the operations published for a tenant."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            rows = await app.operations(tenant)
        if as_json:
            print_json([_facts(row) for row in rows])
            return
        table = Table("Name", "documentId", "Published")
        for row in rows:
            table.add_row(row.name, row.operation_id, f"{row.published_at:%Y-%m-%d %H:%M} UTC")
        Console().print(table if rows else f"Nothing is published for {tenant} yet.")

    run(work)


def _facts(row: OperationRow) -> dict[str, Any]:
    return {
        "tenant": row.tenant,
        "name": row.name,
        "documentId": row.operation_id,
        "publishedAt": row.published_at.isoformat(),
    }
