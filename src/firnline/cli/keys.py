"""`firnline keys`: makes, lists and revokes API keys for programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from firnline.access.api_keys import INSTALLATION, SCOPES, KeyText, draw_key
from firnline.access.principal import person_of
from firnline.app import App, opened
from firnline.cli.running import AsJson, Directory, print_json, run
from firnline.errors import FirnlineError, UsageError
from firnline.spec.durations import duration
from firnline.state.api_keys import ApiKeyRow

keys = typer.Typer(help="Make, list and revoke API keys for programs.", no_args_is_help=True)

_NAME_LENGTH_MAX = 100
_AGENT = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")
_LIFETIME = re.compile(r"[1-9][0-9]{0,4}[mhd]")


class ApiKeyOptionsError(UsageError):
    """What an API key should open does not fit together."""

    code = "api_key_options"


class UnknownApiKeyError(FirnlineError):
    """There is no current API key of that id or name."""

    code = "unknown_api_key"
    status = 404
    exit_code = 2

    def __init__(self, key: str) -> None:
        super().__init__(
            f"there is no current API key {key!r}",
            hint="`firnline keys list` shows the keys; an id is never ambiguous, a name may be.",
        )


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as nightly-report.")],
    scope: Annotated[
        list[str], typer.Option(help=f"What it opens; repeatable: {', '.join(sorted(SCOPES))}.")
    ],
    tenant: Annotated[str, typer.Option(help="The one tenant that it is for.")] = "",
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="It is for every tenant: the operator's own.")
    ] = False,
    person: Annotated[
        str, typer.Option("--as", help="E-mail of the person as whom it asks GraphQL.")
    ] = "",
    agent: Annotated[
        str, typer.Option(help="Which agent acts for the person with it, as a token's act.sub.")
    ] = "",
    expires: Annotated[
        str, typer.Option(help="For how long it is valid, such as 12h or 90d; for good, if absent.")
    ] = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, this once: only a digest of its secret is kept."""
    _check(name, scope, tenant, all_tenants=all_tenants, person=person)
    _check_agent(agent, person)
    lifetime = _lifetime(expires)

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            if tenant:
                app.tenant(tenant)
            now = app.clock.now()
            key_id, text = draw_key()
            row = ApiKeyRow(
                tenant=tenant or INSTALLATION,
                key_id=key_id,
                name=name,
                scopes=tuple(sorted(set(scope))),
                created_at=now,
                digest=KeyText.of(text).digest,
                person=person_of(person) or "",
                agent=agent,
                expires_at=None if lifetime is None else now + lifetime,
            )
            await app.state.api_keys.save(row)
        if as_json:
            print_json({"key": text, **_facts(row, now)})
            return
        typer.echo(text)
        warning = Console(stderr=True, soft_wrap=True)
        warning.print(
            f"[yellow]This is the only time the key {escape(name)} is shown.[/] Keep it where "
            f"secrets are kept; end it with: firnline keys revoke {key_id}"
        )

    run(work)


@keys.command("list")
def list_keys(
    tenant: Annotated[str, typer.Option(help="Only the keys of this tenant.")] = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Show the keys, also those that ended: what each opens, and when it was used last."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            if tenant:
                app.tenant(tenant)
            rows = await app.state.api_keys.all(tenant)
            now = app.clock.now()
        if as_json:
            print_json({"keys": [_facts(row, now) for row in rows]})
        else:
            Console().print(_table(rows, now) if rows else "There are no API keys.")

    run(work)


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, or its name.")],
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """End a key for good; running servers refuse it within a second."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            row = await _found(app, key)
            await app.state.api_keys.revoke(row.key_id, at=app.clock.now())
        if as_json:
            print_json({"revoked": row.key_id, "name": row.name, "tenant": row.tenant})
        else:
            typer.echo(f"{row.name} ({row.key_id}) of {_whose(row)}: revoked")

    run(work)


def _check(
    name: str, scopes: Sequence[str], tenant: str, *, all_tenants: bool, person: str
) -> None:
    if not name.strip() or len(name) > _NAME_LENGTH_MAX or not name.isprintable():
        raise ApiKeyOptionsError(
            "the key's name cannot be used", hint=f"Give up to {_NAME_LENGTH_MAX} letters."
        )
    unknown = sorted(set(scopes) - SCOPES)
    if unknown:
        raise ApiKeyOptionsError(
            f"there is no scope {unknown[0]!r}", hint=f"Scopes: {', '.join(sorted(SCOPES))}."
        )
    if bool(tenant) == all_tenants:
        raise ApiKeyOptionsError(
            "a key is for one tenant or for all",
            hint="Give either --tenant NAME or --all-tenants.",
        )
    asks = "graphql" in scopes
    if asks and (all_tenants or person_of(person) is None):
        raise ApiKeyOptionsError(
            "a key that asks GraphQL does so at one tenant, as one person",
            hint="Give --tenant NAME and --as EMAIL: what the person may see is what it sees.",
        )
    if person and not asks:
        raise ApiKeyOptionsError(
            "only a key that asks GraphQL does so as a person",
            hint="Add --scope graphql, or leave --as away.",
        )
    if "metrics:read" in scopes and not all_tenants:
        raise ApiKeyOptionsError(
            "the figures of a server are about all tenants",
            hint="Give --all-tenants for --scope metrics:read.",
        )


def _check_agent(agent: str, person: str) -> None:
    if agent and not (person and _AGENT.fullmatch(agent)):
        raise ApiKeyOptionsError(
            "an agent acts for a person, and its name is one word",
            hint="Give --as EMAIL, and a name such as renewals-bot.",
        )


async def _found(app: App, key: str) -> ApiKeyRow:
    """Return the one key of that id, or the one current key of that name."""
    rows = await app.state.api_keys.all()
    current = [row for row in rows if row.revoked_at is None]
    found = [row for row in current if row.key_id == key]
    found = found or [row for row in current if row.name == key]
    if len(found) != 1:
        raise UnknownApiKeyError(key)
    return found[0]


def _standing(row: ApiKeyRow, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "current" if row.is_current(now) else "expired"


def _facts(row: ApiKeyRow, now: datetime) -> dict[str, Any]:
    return {
        "id": row.key_id,
        "name": row.name,
        "tenant": row.tenant,
        "scopes": row.scopes,
        "person": row.person or None,
        "agent": row.agent or None,
        "standing": _standing(row, now),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "used_at": row.used_at,
    }


def _whose(row: ApiKeyRow) -> str:
    return "all tenants" if row.tenant == INSTALLATION else row.tenant


_COLOURS = {"current": "green", "expired": "yellow", "revoked": "dim"}


def _table(rows: Sequence[ApiKeyRow], now: datetime) -> Table:
    """Return a row for each key, of several lines: 80 columns are enough."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Key", overflow="fold", min_width=16)  # as long as an id, which is copied
    table.add_column("For", overflow="fold")
    table.add_column("Opens", overflow="fold", min_width=max(map(len, SCOPES)))
    table.add_column("Standing (UTC)", no_wrap=True)
    for row in rows:
        asks = (f"as {row.person}" if row.person else "", f"by {row.agent}" if row.agent else "")
        table.add_row(
            _lines(row.name, row.key_id),
            _lines(_whose(row)),
            _lines(*row.scopes, *asks),
            _stands(row, now),
        )
    return table


def _stands(row: ApiKeyRow, now: datetime) -> Text:
    standing = _standing(row, now)
    moments = {"until": row.expires_at, "revoked": row.revoked_at, "used": row.used_at}
    told = (f"{what} {at:%Y-%m-%d %H:%M}" for what, at in moments.items() if at is not None)
    return Text("\n").join((Text(standing, style=_COLOURS[standing]), *map(Text, told)))


def _lines(*lines: str) -> Text:
    return Text("\n".join(filter(None, lines)))


def _lifetime(text: str) -> timedelta | None:
    if not text:
        return None
    if not _LIFETIME.fullmatch(text):
        raise ApiKeyOptionsError(
            f"--expires {text!r} is no length of time", hint="Write 30m, 12h or 90d."
        )
    return duration(text)
