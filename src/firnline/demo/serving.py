"""Serves the demo's application with GraphiQL until it is interrupted."""

from __future__ import annotations

import socket
from datetime import timedelta
from functools import partial

from rich.console import Console

from firnline.app import App
from firnline.web.project import project_web
from firnline.web.server import address_of, create_server

_LINK_LIFETIME = timedelta(hours=8)


async def serve_demo(app: App, listening: socket.socket, console: Console) -> None:
    """Answer at the socket, as `firnline serve` does with the development sign-in on."""
    told = partial(_announce, app, address_of(listening), console)
    async with project_web(app) as web, app.serving():
        await create_server(web, on_start=told).serve(sockets=[listening])


def _announce(app: App, url: str, console: Console) -> None:
    console.print()
    console.print(f"[bold]GraphiQL: {url}/signin[/]  (choose a tenant and a person)")
    console.print(f"GraphQL:  {url}/graphql  (POST, with a bearer token)")
    for tenant in app.project.tenants:
        link = app.make_connect_link(tenant, lifetime=_LINK_LIFETIME).url
        console.print(f"Connect:  {link}  (what {tenant}'s admin gets)", soft_wrap=True)
    console.print("[dim]Serving until interrupted (Ctrl-C).[/]")
