"""`firnline connect`: authorises a tenant's systems, in a browser, by a client or by secrets."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console

from firnline.app import App, opened
from firnline.cli.callback import listening
from firnline.cli.clients import ClientOptions
from firnline.cli.connection_tables import statuses_table
from firnline.cli.entering import completed, entered
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.connections import Connections
from firnline.connections.site import declared_site
from firnline.connections.statuses import NOT_CONNECTED
from firnline.connectors.auth_flows import AuthorizationCode, JwtBearer, fields_of
from firnline.errors import UsageError
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow
from firnline.web.admin.forms import ConnectionList

Show = Callable[[str], None]


class EntryOptionsError(UsageError):
    """A user name, password or key is given without the system that it is for."""

    code = "entry_options"


class PersonOptionError(UsageError):
    """A person is named without the system that they connect."""

    code = "person_option"


def connect(
    tenant: TenantArgument,
    connection: Annotated[
        str, typer.Argument(help="The connection's name; all that are not connected, unless named.")
    ] = "",
    person: Annotated[
        str, typer.Option(help="E-mail of whoever connects for themselves alone, to be verified.")
    ] = "",
    client_id: Annotated[
        str, typer.Option(help="Register this OAuth client for the connection first.")
    ] = "",
    client_secret_file: Annotated[
        Path | None, typer.Option(help="File with the client's secret; `-` reads standard input.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="PEM file with the client's private key, where assertions are signed."),
    ] = None,
    key_id: Annotated[
        str, typer.Option(help="The provider's id of that key; of a person's, with --person.")
    ] = "",
    algorithm: Annotated[
        str,
        typer.Option(
            help="How the key signs, such as ES256; the first the provider takes, if none."
        ),
    ] = "",
    username: Annotated[
        str,
        typer.Option(
            help="User name to act as (JWT bearer), or the one or the access key that is entered."
        ),
    ] = "",
    secret_file: Annotated[
        Path | None,
        typer.Option(help="File with the password that goes with it; `-` reads standard input."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="File with the API key to connect with; `-` reads standard input."),
    ] = None,
    other_account: Annotated[
        bool,
        typer.Option("--other-account", help="Connect another account than before, for good."),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            help="Port of the callback, where the provider wants it registered; 0 is any free one."
        ),
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the sign-in page in a browser.")] = True,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Connect a tenant's systems: sign in once, tokens are kept encrypted and renewed.

    Exit code 0 when every asked connection is active.
    """
    client = ClientOptions(client_id, client_secret_file, key_file, key_id, algorithm, username)
    client.check(connection, person)
    given = entered(username, secret_file, api_key_file)
    if given and not connection:
        raise EntryOptionsError(
            "what is entered belongs to one connection", hint="Name the connection."
        )
    if person and not connection:
        raise PersonOptionError(
            "a person connects one system at a time", hint="Name the connection."
        )
    console = Console(stderr=True, soft_wrap=True)

    def show(url: str) -> None:
        console.print("Sign in here to connect:", highlight=False)
        console.print(url, markup=False, highlight=False)
        if browser:
            webbrowser.open(url)

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            await _connect(
                *(app, tenant, connection, client, given),
                show=show,
                port=port,
                person=person,
                other_account=other_account,
            )
            statuses = await app.connections.statuses(app.tenant(tenant))
        if as_json:
            print_json(ConnectionList.of(tenant, statuses).model_dump())
        else:
            Console().print(statuses_table(tenant, statuses))

    run(work)


async def connect_one(
    connections: Connections,
    spec: TenantSpec,
    name: str,
    *,
    show: Show,
    port: int = 0,
    person: str = "",
    given: Mapping[str, SecretStr] | None = None,
    other_account: bool = False,
) -> ConnectionRow:
    """Connect one system by the flow that it is declared to use.

    `show` gets the sign-in link, `given` is what was entered already.
    """
    auth = declared_site(spec, name).auth
    if given or fields_of(auth):
        fields = await asyncio.to_thread(completed, fields_of(auth), given or {})
        return await connections.connect_with_secrets(
            spec, name, fields, person=person, allow_other_account=other_account
        )
    if not isinstance(auth, AuthorizationCode):
        return await connections.connect(
            spec, name, person=person, allow_other_account=other_account
        )
    async with listening(port) as callback:
        start = await connections.start_authorization(
            spec, name, redirect_uri=callback.redirect_uri, person=person
        )
        await asyncio.to_thread(show, connections.transport.routes.reachable(start.url))
        code = await callback.code(start.state)
        return await connections.finish_authorization(
            start.state, code, issuer=callback.issuer, allow_other_account=other_account
        )


async def _connect(
    app: App,
    tenant: str,
    name: str,
    client: ClientOptions,
    given: Mapping[str, SecretStr],
    *,
    show: Show,
    port: int,
    person: str,
    other_account: bool,
) -> None:
    spec = app.tenant(tenant)
    names = [name] if name else await _unconnected(app, spec)
    for wanted in names:
        site = declared_site(spec, wanted)
        await client.register(app.connections.clients, site, person=person)
        # To JWT bearer a user name is part of the client; nothing is entered there.
        fields = {} if isinstance(site.auth, JwtBearer) else given
        await connect_one(
            *(app.connections, spec, wanted),
            show=show,
            port=port,
            person=person,
            given=fields,
            other_account=other_account,
        )


async def _unconnected(app: App, spec: TenantSpec) -> list[str]:
    """Return the organisation's connections that wait for somebody; not those that were ended."""
    return [
        each.name
        for each in await app.connections.statuses(spec)
        if each.is_declared
        and not each.person
        and each.state in (NOT_CONNECTED, "pending", "needs_reconnect")
    ]
