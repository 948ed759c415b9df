"""What a revoked connection does: the demo lets a customer take one away, and give it back.

Takes the prepared stage; gives what was noticed and still answered, and what coming back took.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firnline.access.principal import Principal
from firnline.demo.question import DemoAnswerError
from firnline.demo.stage import Stage
from firnline.sandbox.signin import connect

TENANT, CONNECTION, PROVIDER = "globex", "zendesk", "zendesk"
_QUESTION = "{ tickets { totalCount } }"
_OBJECT = f"{CONNECTION}.tickets"


@dataclass(frozen=True, slots=True)
class Loss:
    """One connection that was lost and came back. Rows are those of all its objects."""

    tenant: str
    connection: str
    noticed: str  # the state that the next sync left it in
    reason: str
    answered: int  # tickets, while it was lost
    stale: dict[str, Any]
    rows_first: int
    rows_again: int
    is_incremental: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "tenant": self.tenant,
            "connection": self.connection,
            "noticed": self.noticed,
            "reason": self.reason,
            "answered": self.answered,
            "stale": self.stale,
            "rows_first": self.rows_first,
            "rows_again": self.rows_again,
            "incremental": self.is_incremental,
        }


async def lose_and_return(stage: Stage) -> Loss:
    """Revoke a connection at its provider, sync, ask, connect it again and sync.

    Raises DemoAnswerError when an answer or a state is another one than it must be.
    """
    app, spec = stage.app, stage.app.tenant(TENANT)
    server = stage.fleet.server(PROVIDER, TENANT)
    before, _ = await _tickets(stage)
    await stage.fleet.revoke(PROVIDER, TENANT, server.integration_email)
    await app.sync(TENANT, [CONNECTION])
    row = await app.state.connection(TENANT, CONNECTION)
    await app.standings.load()  # a server hears of it by itself
    answered, fresh = await _tickets(stage)
    if row is None or answered != before or "stale" not in fresh:
        raise DemoAnswerError(f"{CONNECTION} of {TENANT} was lost, and answers do not say so")
    client, email = server.client, server.integration_email
    await connect(app.connections, spec, CONNECTION, client=client, email=email)
    again = await app.sync(TENANT, [CONNECTION])
    await app.standings.load()
    _, fresh_again = await _tickets(stage)
    if not again.ok or "stale" in fresh_again:
        raise DemoAnswerError(f"{CONNECTION} of {TENANT} came back, and answers do not say so")
    tickets = next(one for one in again.objects if one.object == "tickets")
    return Loss(
        tenant=TENANT,
        connection=CONNECTION,
        noticed=row.state,
        reason=row.state_reason,
        answered=answered,
        stale=fresh["stale"],
        rows_first=sum(one.rows for one in stage.reports[TENANT, CONNECTION].objects),
        rows_again=sum(one.rows for one in again.objects),
        is_incremental=not tickets.is_full,
    )


async def _tickets(stage: Stage) -> tuple[int, dict[str, Any]]:
    """Return how many tickets a manager is told of, and how fresh that is."""
    manager = stage.fleet.people[TENANT]["manager"]
    answer = await stage.app.ask(Principal(TENANT, manager.casefold()), _QUESTION)
    if answer.errors or not answer.data:
        raise DemoAnswerError(f"the tickets of {TENANT} are not answered")
    return answer.data["tickets"]["totalCount"], answer.extensions["freshness"][_OBJECT]
