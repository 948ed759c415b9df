"""The demo's words and tables, for a terminal of 80 columns.

Takes answers and timings; prints them for someone who sees Firnline for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from firnline.demo.comparing import LIVE_DEADLINE_S, Compared
from firnline.demo.losing import Loss
from firnline.demo.question import QUESTION, WARM_RUNS, Asked
from firnline.demo.stage import DemoPlan, Stage
from firnline.graph.answer import Answer
from firnline.spec.model import TenantSpec

_DEALS_SHOWN = 3
Deal = Mapping[str, Any]


def opening(console: Console, plan: DemoPlan) -> None:
    """Say what is about to happen, and what is not as at the vendors."""
    low, high = plan.latency_ms
    console.print(
        "[bold]Firnline demo[/]: Salesforce, Zendesk and NetSuite sandboxes of two companies,"
        f" {low}-{high} ms a call."
    )
    if plan.limits:
        console.print(
            "[dim]The vendors' rate limits are on: Zendesk exports 10 pages a minute, so the first"
            " sync takes several minutes.[/]"
        )
    else:
        console.print(
            "[dim]The vendors' rate limits are off (--limits keeps them): Zendesk's 10 exports a"
            " minute alone would take minutes.[/]"
        )


def prepared(stage: Stage, console: Console) -> None:
    """Say what was connected, discovered and synced."""
    rows = sum(one.rows for report in stage.reports.values() for one in report.objects)
    objects = sum(len(report.objects) for report in stage.reports.values())
    console.print(
        f"Connected by OAuth, discovered and synced {len(stage.reports)} systems: {rows:,} rows of"
        f" {objects} objects in {stage.elapsed_s:.0f} s."
    )


def question(console: Console, end: date) -> None:
    """Print the question in English."""
    console.print()
    console.print(
        "[bold]The question[/]: open renewals that close by"
        f" {end:%d %B %Y}, at accounts with more than ten tickets whose last QBR was over 90 days"
        " ago; each with its open tickets and overdue invoices."
    )
    console.print(
        f"[dim]{QUESTION.name}; the date is the quarter's end, or the next one's when fewer than"
        " 30 days are left.[/]"
    )


def answers(console: Console, spec: TenantSpec, asked: Mapping[str, Asked]) -> None:
    """Print one tenant's answers and how they differ."""
    rep, boss = asked["rep"], asked["manager"]
    names = {deal["name"] for deal in rep.deals}
    for chair, one in asked.items():
        seen_by_rep = names if chair == "manager" else None
        console.print()
        console.print(_answer_table(spec, chair, one, seen_by_rep))
        if len(one.deals) > _DEALS_SHOWN:
            console.print(f"[dim]  ... and {len(one.deals) - _DEALS_SHOWN} more[/]")
    own = sum(deal["name"] not in names for deal in boss.deals)
    console.print(
        f"[bold]*[/] {own} of the manager's {len(boss.deals)} are not in the rep's answer: deals of"
        " others, or accounts of whose tickets the rep may see ten or fewer."
    )


def _answer_table(
    spec: TenantSpec, chair: str, asked: Asked, seen_by_rep: set[str] | None
) -> Table:
    title = (
        f"[bold]{escape(spec.name or spec.tenant)}[/], {chair} {asked.email}:"
        f" {len(asked.deals)} deals in [bold]{asked.cached_ms:.0f} ms[/]"
    )
    table = Table(
        title=title,
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        expand=True,
    )
    table.add_column("deal\naccount, segment", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("stage\nowner", no_wrap=True, overflow="ellipsis", width=14)
    for heading, width in (("amount\ncloses", 10), ("open\ntickets", 7), ("overdue\ninvoices", 8)):
        table.add_column(heading, justify="right", no_wrap=True, width=width)
    for deal in asked.deals[:_DEALS_SHOWN]:
        table.add_row(
            *_cells(
                deal, is_marked=bool(seen_by_rep is not None and deal["name"] not in seen_by_rep)
            )
        )
    return table


def _cells(deal: Deal, *, is_marked: bool) -> Sequence[str]:
    account = deal["account"]
    overdue = account["invoices"]["aggregate"]
    name = deal["name"].removeprefix(account["name"]).lstrip(" –-") or deal["name"]
    mark = "[bold]*[/] " if is_marked else ""
    opened = len(account["tickets"]["nodes"])
    owner = account["owner"]["name"] if account["owner"] else "-"
    return (
        f"{mark}{escape(name)}\n[dim]{escape(account['name'])}, {account['segment'] or '-'}[/]",
        f"{deal['stage']}\n[dim]{escape(owner)}[/]",
        f"{_amount(deal['amount'])}\n[dim]{deal['closeDate']}[/]",
        f"{opened}{'+' if opened == 5 else ''}",
        f"{overdue['count']}\n[dim]{_amount(overdue['sum']['total'])}[/]",
    )


def _amount(text: str | None) -> str:
    return "-" if text is None else f"{Decimal(text):,.0f}"


def times(console: Console, tenants: Mapping[str, Mapping[str, Compared]]) -> None:
    """Print the times of the cache beside those of live calls."""
    table = Table(
        title="[bold]The same question: cached, and by live calls as that person[/]",
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("tenant, person", no_wrap=True)
    for name in ("first", "then", "live", "calls", "ratio", "same answer"):
        table.add_column(name, justify="right", no_wrap=True)
    for tenant, people in tenants.items():
        for chair, one in people.items():
            table.add_row(f"{tenant} {chair}", *_time_cells(one))
    console.print()
    console.print(table)
    console.print(
        f"[dim]then: median of {WARM_RUNS} more. live: tokens at hand, calls batched and made at"
        " the same time where the APIs allow.[/]"
    )
    if any(one.equal is False for people in tenants.values() for one in people.values()):
        console.print("[bold red]The live answers differ from the cached ones.[/]")


def _time_cells(one: Compared) -> Sequence[str]:
    over = f"> {LIVE_DEADLINE_S:.0f} s"
    same = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: "unknown"}[one.equal]
    return (
        f"{one.asked.first_ms:.0f} ms",
        f"[bold]{one.asked.cached_ms:.0f} ms[/]",
        over if one.live.data is None else f"{one.live.ms:,.0f} ms",
        str(one.live.calls),
        f"{one.ratio:.0f}x" if one.ratio >= 10 else f"{one.ratio:.1f}x",
        same,
    )


def masked(
    console: Console,
    asked: Mapping[str, Mapping[str, Asked]],
    chair: str,
    answers: Mapping[str, Answer],
) -> None:
    """Print what was masked for those who asked, and for somebody with fewer rights, and why."""
    console.print()
    notes = {
        tenant: [note for one in people.values() for note in _access(one.answer)]
        for tenant, people in asked.items()
    }
    console.print("[bold]Masked[/] for rep and manager in this question:", end=" ")
    console.print("nothing." if not any(notes.values()) else "")
    _told(console, notes)
    console.print(f"[bold]Masked[/] for a {chair} who asks for amounts and invoices:")
    _told(console, {tenant: _access(answer) for tenant, answer in answers.items()})


def _access(answer: Answer) -> Sequence[Mapping[str, Any]]:
    notes: Sequence[Mapping[str, Any]] = answer.extensions.get("access", ())
    return notes


def _told(console: Console, notes: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print each note once, with the tenants that it holds for."""
    tenants: dict[str, list[str]] = {}
    for tenant, found in notes.items():
        for note in dict.fromkeys(_note(each) for each in found):
            tenants.setdefault(note, []).append(tenant)
    for note, where in tenants.items():
        console.print(Padding(f"{note} [dim]({', '.join(where)})[/]", (0, 0, 0, 2)))


def _note(note: Mapping[str, Any]) -> str:
    coordinate, reason = escape(str(note["coordinate"])), escape(str(note["reason"]))
    return f"[yellow]{escape(str(note['effect']))}[/] {coordinate}: {reason}"


def lost(console: Console, loss: Loss) -> None:
    """Say what a customer's revoking a connection did, and what coming back took."""
    console.print()
    console.print(
        f"[bold]Then {loss.tenant}'s administrator revokes {loss.connection}.[/] The next sync"
        f" notices ([bold red]{loss.noticed}[/]: {escape(loss.reason)}) and pauses;"
        f" {loss.answered:,} tickets are still answered, called stale since {loss.stale['since']}."
    )
    console.print(
        f"Connected again by OAuth, the next sync goes on where it was: {loss.rows_again:,} rows"
        f" instead of {loss.rows_first:,}."
    )


def published(console: Console, operations: Mapping[str, str]) -> None:
    """Say under which id the question can be asked of each tenant."""
    console.print()
    by_id: dict[str, list[str]] = {}
    for tenant, operation_id in operations.items():
        by_id.setdefault(operation_id, []).append(tenant)
    for operation_id, tenants in by_id.items():
        console.print(f"Published for {', '.join(tenants)}; asked by id, it answers the same:")
        console.print(f"  [dim]{operation_id}[/]")
