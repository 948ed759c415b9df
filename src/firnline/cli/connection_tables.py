"""How connections and their changes are shown in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from firnline.connections.statuses import ConnectionStatus
from firnline.state import ConnectionEvent
from firnline.transport.quota.governor import Standing

_STYLES = {
    "active": "green",
    "pending": "yellow",
    "expiring": "yellow",
    "needs_reconnect": "bold red",
    "revoked": "dim",
    "disabled": "dim",
    "not_connected": "dim",
}


def statuses_table(tenant: str, statuses: Iterable[ConnectionStatus]) -> Table:
    """Return one row for each connection, of several lines where there is more to say.

    80 columns are enough: names may wrap, states and times never do.
    """
    table = Table(
        title=f"Connections of {tenant}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("Connection", overflow="fold")
    table.add_column("State", no_wrap=True)
    table.add_column("Since (UTC)", no_wrap=True)
    table.add_column("Account", overflow="fold")
    for each in statuses:
        table.add_row(_named(each), _state(each.state), _minute(each.state_at), _accounted(each))
    return table


def facts_table(tenant: str, status: ConnectionStatus) -> Table:
    """Return all that is known of one connection."""
    whose = f" of {status.person}" if status.person else ""
    table = Table(
        title=f"{status.name}{whose} at {tenant}",
        title_justify="left",
        box=None,
        show_header=False,
        pad_edge=False,
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    facts = {
        "provider": status.provider,
        "signs in by": status.flow,
        "since": _moment(status.state_at),
        "why": status.reason,
        "account": " ".join(filter(None, (status.account_name, _in_brackets(status.account)))),
        "connected as": status.user_name,
        "scopes": " ".join(status.scopes),
        "token ends": _moment(status.expires_at),
        "nothing renews it after": _moment(status.ends_at),
        "last renewal failed": status.last_error,
        "declared": "" if status.is_declared else "no longer, in the tenant's YAML",
    }
    table.add_row("state", _state(status.state))
    for name, value in facts.items():
        if value:
            table.add_row(name, _text(value))
    return table


def quota_table(quota: Standing) -> Table:
    """Return how much of an account's quota is used, by all processes."""
    table = Table(
        title=f"Quota of the account; processes that call now: {quota.processes}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("Budget", overflow="fold")
    table.add_column("Used", no_wrap=True, justify="right")
    table.add_column("Limit", overflow="fold")
    table.add_column("Resets (UTC)", no_wrap=True)
    table.add_column("Refused until", no_wrap=True)
    for each in quota.budgets:
        limit = f"{each.limit:,.0f} {each.unit} / {each.window_s:,.0f} s"
        moments = (_minute(each.resets_at), _moment(each.blocked_until))
        table.add_row(_text(each.name), f"{each.used:,.0f}", limit, *moments)
    return table


def events_table(events: Iterable[ConnectionEvent]) -> Table:
    """Return how a connection became what it is, the newest change last."""
    table = Table(title="Changes", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("When", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for event in events:
        table.add_row(_moment(event.at), _state(event.state), _text(event.reason))
    return table


def event_line(event: ConnectionEvent) -> str:
    """Return one change as a line of markup."""
    whose = f" of {event.person}" if event.person else ""
    what = f"{event.tenant} {event.name}{whose}"
    because = f": {event.reason}" if event.reason else ""
    style = _STYLES.get(event.state, "")
    return (
        f"[dim]{event.number} {_moment(event.at)}[/] {escape(what)} "
        f"[{style}]{event.state}[/]{escape(because)}"
    )


def _named(status: ConnectionStatus) -> Text:
    """Return the name, and below it the provider where its name is another, and the person."""
    provider = "" if status.provider == status.name else status.provider
    whose = f"of {status.person}" if status.person else ""
    return _lines(_text(status.name), provider, whose)


def _accounted(status: ConnectionStatus) -> Text:
    """Return the account, as whom it is connected, and why it is in its state."""
    user = f"as {status.user_name}" if status.user_name else ""
    undeclared = "" if status.is_declared else "no longer declared in the tenant's YAML"
    return _lines(_text(status.account_name), user, status.reason, undeclared)


def _lines(first: Text, *further: str) -> Text:
    lines = [first, *(Text(each, style="dim") for each in further)]
    return Text("\n").join(line for line in lines if line)


def _state(state: str) -> Text:
    return Text(state, style=_STYLES.get(state, ""))


def _text(value: str) -> Text:
    return Text(value)  # whatever a provider calls itself, it is no markup


def _in_brackets(text: str) -> str:
    return f"({text})" if text else ""


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
