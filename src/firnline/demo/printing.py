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
from firnline.demo.question import QUESTION, Asked
from firnline.demo.stage import DemoPlan, Stage
from firnline.graph.respond import Answer
from firnline.spec.model import TenantSpec

_DEALS_SHOWN = 4
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
    own = [deal for deal in boss.deals if deal["name"] not in names]
    console.print(
        f"The manager gets {len(boss.deals)} deals, the rep {len(rep.deals)};"
        f" {len(own)} of the manager's (*) are not in the rep's answer: other people's deals, or"
        " tickets of groups that the rep is not in."
    )
    notes = [note for one in asked.values() for note in one.answer.extensions.get("access", ())]
    if not notes:
        console.print("[dim]No field of this question is masked for either of them.[/]")
    _notes(console, notes)


def _answer_table(
    spec: TenantSpec, chair: str, asked: Asked, seen_by_rep: set[str] | None
) -> Table:
    title = (
        f"[bold]{escape(spec.name or spec.tenant)}[/], {chair} {asked.email}:"
        f" {len(asked.deals)} deals in [bold]{asked.cached_ms:.0f} ms[/]"
    )
    table = Table(
        title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("deal\naccount, segment", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("stage\nowner", no_wrap=True, overflow="ellipsis", max_width=18)
    table.add_column("amount\ncloses", justify="right", no_wrap=True)
    table.add_column("open\ntickets", justify="right", no_wrap=True, min_width=7)
    table.add_column("overdue\ninvoices", justify="right", no_wrap=True)
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
        title="[bold]The same question, from the cache and by live calls as the same person[/]",
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("tenant, person")
    for name in ("first", "then", "live", "calls", "ratio", "same answer"):
        table.add_column(name, justify="right")
    for tenant, people in tenants.items():
        for chair, one in people.items():
            table.add_row(f"{tenant} {chair}", *_time_cells(one))
    console.print()
    console.print(table)
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


def masked(console: Console, chair: str, answers: Mapping[str, Answer]) -> None:
    """Print what somebody with fewer rights does not get at each tenant, and why."""
    console.print()
    console.print(f"[bold]What a {chair} does not get[/], who asks for amounts and invoices:")
    told: dict[str, list[str]] = {}
    for tenant, answer in answers.items():
        for note in answer.extensions.get("access", ()):
            told.setdefault(_note(note), []).append(tenant)
    for note, tenants in told.items():
        console.print(Padding(f"{note} [dim]({', '.join(tenants)})[/]", (0, 0, 0, 2)))


def _notes(console: Console, notes: Sequence[Mapping[str, Any]]) -> None:
    for note in dict.fromkeys(_note(note) for note in notes):
        console.print(Padding(note, (0, 0, 0, 2)))


def _note(note: Mapping[str, Any]) -> str:
    coordinate, reason = escape(str(note["coordinate"])), escape(str(note["reason"]))
    return f"[yellow]{escape(str(note['effect']))}[/] {coordinate}: {reason}"


def published(console: Console, operations: Mapping[str, str]) -> None:
    """Say under which id the question can be asked of each tenant."""
    console.print()
    by_id: dict[str, list[str]] = {}
    for tenant, operation_id in operations.items():
        by_id.setdefault(operation_id, []).append(tenant)
    for operation_id, tenants in by_id.items():
        console.print(f"Published for {', '.join(tenants)}; asked by id, it answers the same:")
        console.print(f"  [dim]{operation_id}[/]")
