"""`firnline serve`: answers HTTP for one project directory until interrupted."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
import uvicorn
from rich.console import Console
from uvicorn.supervisors.statreload import StatReload

from firnline.app import opened
from firnline.cli.running import AsJson, Directory, print_json, report
from firnline.errors import FirnlineError
from firnline.settings import Settings, read_settings
from firnline.web.collector import settled_collector
from firnline.web.project import project_web
from firnline.web.server import address_of, create_server, open_socket, run_serving


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 is any free one.")] = 8080,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start again when YAML or Python files change.")
    ] = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Serve GraphQL, connect pages and admin API; GraphiQL when FIRNLINE_DEVELOPMENT is on."""
    settings = read_settings()
    with open_socket(host, port, development=settings.development) as listening:
        if reload:
            _serve_reloading(directory, listening, as_json=as_json)
        else:
            run_serving(_serve(directory, listening, as_json=as_json))


async def _serve(directory: Path, listening: socket.socket, *, as_json: bool) -> None:
    settings = read_settings()
    url = address_of(listening)
    async with opened(directory, settings, read_only=True) as app, project_web(app) as web:
        told = partial(announce, url, settings, as_json=as_json)
        async with app.serving():
            with settled_collector():
                await create_server(web, on_start=told).serve(sockets=[listening])


def announce(url: str, settings: Settings, *, as_json: bool) -> None:
    """Say where things are."""
    places = {
        "graphql": f"{url}/graphql",
        "ready": f"{url}/readyz",
        "admin": f"{url}/admin/v1",
        "connect": f"{settings.public_url}/connect",
    }
    if settings.development:
        places["graphiql"] = f"{url}/signin"
    if as_json:
        print_json({"serving": places})
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"GraphQL:  [bold]{places['graphql']}[/]  (POST, with a bearer token)")
    if settings.development:
        console.print(f"GraphiQL: [bold]{places['graphiql']}[/]  (development sign-in)")
    else:
        console.print("[dim]GraphiQL is off; FIRNLINE_DEVELOPMENT=true turns it on.[/]")
    console.print(f"Connect:  [bold]{places['connect']}[/]  (links: firnline connect link TENANT)")
    if _leads_elsewhere(settings.public_url, url):
        console.print(
            f"  [yellow]FIRNLINE_PUBLIC_URL is {settings.public_url}: links and sign-ins lead "
            f"there, not to this server. To use them here, set it to {url}, for commands, too.[/]"
        )
    console.print("[dim]Serving until interrupted (Ctrl-C).[/]")


def _leads_elsewhere(public_url: str, url: str) -> bool:
    """Return whether the public address is one of this machine, and not the server's own."""
    public, own = urlsplit(public_url), urlsplit(url)
    # Behind a proxy it is another one on purpose, and https.
    return public.scheme == "http" and public.port != own.port


class _ProjectReload(StatReload):
    """Watches the project's YAML beside Firnline's Python."""

    def iter_py_files(self) -> Iterator[Path]:
        yield from super().iter_py_files()
        for folder in self.config.reload_dirs:
            yield from (path.resolve() for path in folder.rglob("*.yaml"))


def _serve_reloading(directory: Path, listening: socket.socket, *, as_json: bool) -> None:
    package = Path(__file__).parents[1]
    config = uvicorn.Config(
        "firnline.cli.serve:serve",  # names what is watched; the target below is what runs
        reload=True,
        reload_dirs=[os.fspath(package), os.fspath(directory.resolve())],
        log_level="warning",
    )
    target = partial(_serve_once, directory, as_json=as_json)
    _ProjectReload(config, target=target, sockets=[listening]).run()


def _serve_once(directory: Path, sockets: list[socket.socket] | None, *, as_json: bool) -> None:
    """Serve in a child of the reloader: an error is told, and the next change tries again."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        run_serving(_serve(directory, (sockets or [])[0], as_json=as_json))
    except FirnlineError as error:
        report(error, as_json=as_json)
