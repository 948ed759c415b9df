"""`firnline vault`: shows which keys seal what, and rotates them while servers run."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.cli.running import AsJson, print_json, run
from firnline.clock import SystemClock
from firnline.connections.sealing.key_status import KeyStatus, TenantStatus, key_status
from firnline.connections.sealing.keyring import VARIABLE
from firnline.connections.sealing.rotation import Rotated, Rotation
from firnline.connections.sealing.vault import Vault
from firnline.errors import UsageError
from firnline.settings import read_settings
from firnline.state import State
from firnline.state.keys import EVERYONE

vault = typer.Typer(
    help="Show and rotate the keys that secrets are sealed with.", no_args_is_help=True
)


@vault.command()
def status(as_json: AsJson = False) -> None:
    """Show master keys by id, each tenant's newest data key, and what is sealed with which."""

    async def work() -> None:
        settings = read_settings()
        state = await State.open(settings)
        try:
            found = await key_status(settings, state)
        finally:
            await state.close()
        if as_json:
            print_json(found.as_dict())
        else:
            _show(found)

    run(work)


@vault.command()
def rotate(
    master: Annotated[
        bool, typer.Option("--master", help="Change the master key instead of the data keys.")
    ] = False,
    tenant: Annotated[
        str, typer.Option(help="Only this tenant's data key; * is what all share.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make new data keys, seal every secret anew and remove the old keys; servers may go on.

    After an interruption run it again. Exit code 1 when something opens with no key there is.
    """
    if master and tenant:
        raise UsageError("there is one master key for all tenants", hint="Leave out --tenant.")

    async def work() -> None:
        settings, clock = read_settings(), SystemClock()
        state = await State.open(settings)
        try:
            opened = await Vault.open(settings, state=state, clock=clock)
            rotation = Rotation(opened, state.sealed, clock=clock)
            done = await (rotation.of_master_key() if master else rotation.of_data_keys(tenant))
        finally:
            await state.close()
        if as_json:
            print_json(_facts(done))
        else:
            _tell(done, in_environment=settings.vault_key is not None)
        if done.unreadable:
            raise typer.Exit(1)

    run(work)


def _facts(done: Rotated) -> dict[str, Any]:
    facts: dict[str, Any] = {"resealed": done.resealed, "unreadable": sorted(done.unreadable)}
    if done.master:
        return {
            "master": done.master,
            "rewrapped": done.rewrapped,
            "dropped": list(done.dropped),
            "resumed": done.was_resumed,
            **facts,
        }
    return {"versions": done.versions, "removed": done.removed, **facts}


def _tell(done: Rotated, *, in_environment: bool) -> None:
    console = Console(soft_wrap=True)
    if done.was_resumed:
        console.print("A rotation that was interrupted is finished.")
    if done.master:
        console.print(f"Master key {done.master} wraps every data key ({done.rewrapped} anew).")
    for name in done.dropped:
        console.print(f"Master key {name} is gone from the file; backups from before need it.")
    if done.master and in_environment:
        console.print(f"Now remove the older keys from {VARIABLE}, and restart every process.")
    if done.versions:
        count = len(done.versions)
        console.print(f"New data keys: {count}. Old data keys removed: {done.removed}.")
    console.print(f"Secrets sealed anew: {done.resealed}.")
    for place in sorted(done.unreadable):
        console.print(f"[yellow]opens with no key there is:[/] {escape(place)}")


def _show(found: KeyStatus) -> None:
    console = Console()
    if not found.masters:
        console.print("There is no master key yet: it is made when it is first needed.")
        return
    table = Table("Master key", "Wraps", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for master in found.masters:
        note = "current" if master.id == found.current else ""
        if not master.is_known:
            note = f"[red]not in {escape(found.origin)}[/]"
        table.add_row(master.id, str(master.wraps), note)
    console.print(f"Master keys: {escape(found.origin)}", soft_wrap=True)
    console.print(table)
    table = Table(
        *("Tenant", "Data key", "Made", "Secrets", "With older keys"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for tenant in found.tenants:
        table.add_row(*_cells(tenant))
    console.print(table if found.tenants else "Nothing is sealed yet.")


def _cells(tenant: TenantStatus) -> tuple[str, ...]:
    name = "all tenants (*)" if tenant.tenant == EVERYONE else escape(tenant.tenant)
    made = f"{tenant.made_at:%Y-%m-%d %H:%M}" if tenant.made_at else ""
    outdated = f"[yellow]{tenant.outdated}[/]" if tenant.outdated else "0"
    version = f"v{tenant.version}" if tenant.version else "none"
    return name, version, made, str(sum(tenant.sealed.values())), outdated
