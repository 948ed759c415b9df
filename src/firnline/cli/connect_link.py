"""`firnline connect link`: makes the link with which a customer connects systems in a browser."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firnline.app import opened
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.web.admin.forms import ConnectLinkMade


def link(
    tenant: TenantArgument,
    person: Annotated[
        str, typer.Option(help="E-mail of the one person who connects their own accounts with it.")
    ] = "",
    connection: Annotated[
        list[str] | None,
        typer.Option(help="Offer this connection; repeat for several. All, unless named."),
    ] = None,
    hours: Annotated[
        int, typer.Option(help="How long the link can be opened: up to seven days.", min=1, max=168)
    ] = 1,
    return_to: Annotated[
        str, typer.Option(help="Where to lead back to; must be listed in FIRNLINE_RETURN_TO.")
    ] = "",
    shared: Annotated[
        bool, typer.Option("--shared", help="Let several browsers use it, not only the first.")
    ] = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a link: whoever opens it connects, reconnects and disconnects the tenant's systems.

    It is as good as a password until it is used or ends: send it to that customer alone.
    """

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            made = app.make_connect_link(
                tenant,
                person=person,
                connections=connection or (),
                lifetime=timedelta(hours=hours),
                return_to=return_to,
                is_shared=shared,
            )
        if as_json:
            print_json(ConnectLinkMade.of(made).model_dump())
            return
        console = Console(soft_wrap=True)
        console.print(made.url, markup=False, highlight=False)
        Console(stderr=True, soft_wrap=True).print(
            f"[dim]Can be opened until {made.link.expires_at:%Y-%m-%d %H:%M} UTC, "
            f"by {'any browser' if shared else 'one browser'}.[/]"
        )

    run(work)
