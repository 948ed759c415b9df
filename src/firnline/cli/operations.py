"""`firnline operations`: publishes, lists and retires persisted operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.app import App, opened
from firnline.cli.running import AsJson, Directory, print_json, run
from firnline.errors import FirnlineError, UsageError
from firnline.graph.compiling import Compilation
from firnline.graph.manifest import Listed, listed, read_documents
from firnline.graph.operations import UnknownOperationError
from firnline.observe.figures import Figures, Key, read_figures
from firnline.settings import Settings
from firnline.state.rows import OperationRow
from firnline.transport.own import read_own

operations = typer.Typer(
    help="Publish operations ahead and execute them by id.", no_args_is_help=True
)
Tenant = Annotated[str, typer.Option("--tenant", "-t", help="The tenant's name.")]
SomeTenant = Annotated[str, typer.Option("--tenant", "-t", help="Only this tenant.")]
_MEASURED = ("Calls", "Errors", "p50 ms", "p95 ms")
AllTenants = Annotated[bool, typer.Option("--all-tenants", help="Every declared tenant.")]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document at one tenant: the row, or why it does not fit."""

    tenant: str
    document: Listed
    row: OperationRow | None = None
    plan: Compilation | None = None
    error: FirnlineError | None = None

    @property
    def is_left(self) -> bool:
        """Say whether it fits, but could not be compiled."""
        return self.error is None and self.plan is not None and self.plan.problem is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        facts: dict[str, Any] = {
            "tenant": self.tenant,
            "source": self.document.source,
            "documentId": self.document.operation_id,
            "fits": self.error is None,
        }
        if self.row:
            facts |= _facts(self.row)
        if self.plan:
            facts["plan"] = self.plan.as_dict()
        if self.error:
            facts["error"] = self.error.as_dict()
        return facts


@operations.command()
def publish(
    path: Annotated[
        Path, typer.Argument(help="A .graphql file, a folder of them, or a JSON manifest.")
    ],
    tenant: SomeTenant = "",
    all_tenants: AllTenants = False,
    operation_id: Annotated[
        str, typer.Option("--id", help="An id of your own, for a single document.")
    ] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only tell what fits; publish nothing.")
    ] = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Check operations against each tenant's schema, compile their plans, store those that fit.

    Manifests are {id: text}, Apollo's persisted query manifest or Relay's. Exit code 1 when an
    operation does not fit a tenant, or could never be answered there; the report says which and
    why, and what each costs by estimate.
    """
    documents = _with_id(path, read_documents(path), operation_id)

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            tenants = _tenants(app, tenant, all_tenants=all_tenants)
            outcomes = [
                await _published(app, name, document, check=check)
                for name in tenants
                for document in documents
            ]
        if as_json:
            print_json([outcome.as_dict() for outcome in outcomes])
        else:
            _report(outcomes, check=check)
        if any(outcome.error for outcome in outcomes):
            raise typer.Exit(1)

    run(work)


@operations.command("list")
def list_operations(
    tenant: Tenant,
    versions: Annotated[
        bool, typer.Option("--versions", help="Also earlier and retired versions.")
    ] = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """List the operations published for a tenant, with the running server's figures if any."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            app.tenant(tenant)
            rows = await app.state.operations(tenant, retired=versions)
            figures = await _figures(app.settings)
        if as_json:
            print_json([_facts(row) | _measured(row, figures) for row in rows])
            return
        table = Table("Name", "documentId", "Version", "Published", "Retired")
        for heading in _MEASURED if figures else ():
            table.add_column(heading, justify="right")
        for row in rows:
            retired = f"{row.retired_at:%Y-%m-%d %H:%M} UTC" if row.retired_at else ""
            published = f"{row.published_at:%Y-%m-%d %H:%M} UTC"
            measured = map(_shown, _measured(row, figures).values())
            facts = (row.name, row.operation_id, str(row.version), published, retired)
            table.add_row(*facts, *measured)
        Console().print(table if rows else f"Nothing is published for {tenant} yet.")

    run(work)


@operations.command()
def retire(
    operation_id: Annotated[str, typer.Argument(help="The documentId.")],
    tenant: SomeTenant = "",
    all_tenants: AllTenants = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Stop answering an id; its versions stay listed, and it may be published again."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            now = app.clock.now()
            retired = [
                name
                for name in _tenants(app, tenant, all_tenants=all_tenants)
                if await app.state.retire_operation(name, operation_id, at=now)
            ]
        if not retired:
            raise UnknownOperationError(operation_id)
        if as_json:
            print_json({"documentId": operation_id, "retired": retired})
        else:
            typer.echo(f"{operation_id}: retired for {', '.join(retired)}")

    run(work)


def _with_id(path: Path, documents: Sequence[Listed], operation_id: str) -> Sequence[Listed]:
    if not operation_id:
        return documents
    if len(documents) != 1:
        raise UsageError(
            f"--id names one document, there are {len(documents)}",
            hint="Leave --id away, or write a manifest: {id: text}.",
        )
    return [listed(path, documents[0].source, documents[0].text, operation_id)]


def _tenants(app: App, tenant: str, *, all_tenants: bool) -> Sequence[str]:
    if bool(tenant) == all_tenants:
        raise UsageError("no tenant is named", hint="Give either --tenant NAME or --all-tenants.")
    if all_tenants:
        return sorted(app.project.tenants)
    app.tenant(tenant)
    return [tenant]


async def _published(app: App, tenant: str, document: Listed, *, check: bool) -> Outcome:
    plan = None
    try:
        plan = await app.compiled(tenant, document.text)
        if check:
            plan.require()
            return Outcome(tenant, document, plan=plan)
        row = await app.publish(
            tenant, document.text, operation_id=document.operation_id, compilation=plan
        )
        return Outcome(tenant, document, row, plan)
    except FirnlineError as error:
        return Outcome(tenant, document, plan=plan, error=error)


def _report(outcomes: Sequence[Outcome], *, check: bool) -> None:
    console = Console(soft_wrap=True)
    for outcome in outcomes:
        source, where = escape(outcome.document.source), escape(outcome.tenant)
        if outcome.error:
            console.print(f"[red]does not fit[/] {where}: {source}")
            _tell(console, outcome.error)
        elif outcome.row:
            name = f"{outcome.row.name} (version {outcome.row.version})"
            identity = escape(outcome.row.operation_id)
            console.print(f"[green]published[/]    {where}: {name} as documentId {identity}")
        else:
            console.print(f"[green]fits[/]         {where}: {source}")
        if outcome.plan and not outcome.error:
            _tell_plan(console, outcome.plan)
    failed = sum(outcome.error is not None for outcome in outcomes)
    done = "fit" if check else "published"
    left = sum(outcome.is_left for outcome in outcomes)
    later = f", {left} of them not compiled" if left else ""
    console.print(f"{len(outcomes) - failed} {done}{later}, {failed} do not fit")


def _tell(console: Console, error: FirnlineError) -> None:
    console.print(f"  \\[{error.code}] {escape(error.message)}")
    if error.hint:
        console.print(f"  [dim]->[/] {escape(error.hint)}")


def _tell_plan(console: Console, plan: Compilation) -> None:
    if plan.problem is not None:
        console.print("  [yellow]not compiled[/] with the largest pages and made-up values:")
        _tell(console, plan.problem)
        return
    counted = "" if plan.is_counted else ", if every page is full"
    source = "memory" if plan.from_memory else "DuckDB"
    console.print(f"  [dim]costs {plan.cost:,} of {plan.limit:,}{counted}; from {source}[/]")


async def _figures(settings: Settings) -> Mapping[Key, Figures]:
    """Return what the running server tells of its operations, nothing where none answers."""
    token = settings.metrics_token
    secret = "" if token is None else token.get_secret_value()
    text = await read_own(f"{settings.public_url}/metrics", token=secret)
    try:
        return read_figures(text or "")
    except ValueError:  # another program's address
        return {}


def _measured(row: OperationRow, figures: Mapping[Key, Figures]) -> dict[str, float | None]:
    """Return calls, errors and times of all versions of an operation since the server started."""
    if not figures:
        return {}
    own = figures.get((row.tenant, row.name), Figures())
    times = (own.quantile_s(0.5), own.quantile_s(0.95))
    middle, late = (None if each is None else round(each * 1000, 1) for each in times)
    values = (own.calls, own.errors + own.refused, middle, late)
    return dict(zip(("calls", "errors", "p50Ms", "p95Ms"), values, strict=True))


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _facts(row: OperationRow) -> dict[str, Any]:
    return {
        "tenant": row.tenant,
        "name": row.name,
        "documentId": row.operation_id,
        "version": row.version,
        "publishedAt": row.published_at.isoformat(),
        "retiredAt": row.retired_at.isoformat() if row.retired_at else None,
    }
