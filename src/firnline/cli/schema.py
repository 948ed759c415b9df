"""`firnline schema`: prints a tenant's GraphQL schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firnline.app import opened
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run


def schema(
    tenant: TenantArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it here.")] = None,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Print the tenant's schema in GraphQL's own language (SDL)."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            built = await app.schema(tenant)
            graph = await app.graphs.graph(tenant)
        sdl = built.as_str()
        if output is not None:
            output.write_text(sdl + "\n", "utf-8")
        if as_json:
            facts = {"tenant": tenant, "shape": graph.shape, "version": graph.version}
            print_json({**facts, "objects": sorted(graph.objects), "sdl": sdl})
        elif output is None:
            typer.echo(sdl)

    run(work)
