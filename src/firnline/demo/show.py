"""What the demo shows once the stage is set: asks, publishes, compares and prints.

Takes a `Stage` and a console; gives the facts of `firnline demo --json`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from rich.console import Console

from firnline.demo import printing
from firnline.demo.comparing import Compared, live
from firnline.demo.losing import lose_and_return
from firnline.demo.question import (
    ASKERS,
    Asked,
    DemoAnswerError,
    ask,
    ask_masked,
    ask_published,
    quarter_end,
    question_text,
)
from firnline.demo.stage import Stage
from firnline.graph.answer import Answer

_MASKED_CHAIR = "contractor"


@dataclass(frozen=True, slots=True)
class TenantShown:
    """Everything that was answered for one tenant."""

    people: Mapping[str, Compared]
    operation_id: str
    masked: Answer

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "people": {chair: compared.as_dict() for chair, compared in self.people.items()},
            "operation": self.operation_id,
            "masked": {
                "person": _MASKED_CHAIR,
                "data": self.masked.data,
                "extensions": self.masked.extensions,
            },
        }


async def show(stage: Stage, console: Console) -> dict[str, Any]:
    """Answer the demo question for both tenants, print everything, return the facts."""
    end = quarter_end(stage.app.clock.now().date())
    printing.prepared(stage, console)
    printing.question(console, end)
    asked = {
        tenant: {chair: await ask(stage.app, tenant, people[chair], end) for chair in ASKERS}
        for tenant, people in stage.fleet.people.items()
    }
    answered_s = stage.elapsed_s
    for tenant, by_chair in asked.items():
        printing.answers(console, stage.app.tenant(tenant), by_chair)
    console.print(f"[dim]Answered {answered_s:.0f} s after the start.[/]")
    shown = await _shown(stage, console, asked, end)
    printing.times(console, {tenant: one.people for tenant, one in shown.items()})
    printing.masked(
        console, asked, _MASKED_CHAIR, {name: one.masked for name, one in shown.items()}
    )
    printing.published(console, {name: one.operation_id for name, one in shown.items()})
    with console.status("Revoking a connection at its provider"):
        loss = await lose_and_return(stage)
    printing.lost(console, loss)
    return {
        "tenants": {tenant: one.as_dict() for tenant, one in shown.items()},
        "synced": await stage.synced(),
        "quarter_end": end.isoformat(),
        "answered_s": round(answered_s, 3),
        "lost": loss.as_dict(),
    }


async def _shown(
    stage: Stage, console: Console, asked: Mapping[str, Mapping[str, Asked]], end: date
) -> Mapping[str, TenantShown]:
    with console.status("Asking the same question by live calls to the providers"):
        # Tenants are different accounts; one person after the other within each.
        tasks = [_tenant(stage, tenant, by_chair, end) for tenant, by_chair in asked.items()]
        found = await asyncio.gather(*tasks)
    return dict(zip(asked, found, strict=True))


async def _tenant(
    stage: Stage, tenant: str, by_chair: Mapping[str, Asked], end: date
) -> TenantShown:
    people = {
        chair: Compared(one, await live(stage.app, stage.fleet, tenant, one.email, end))
        for chair, one in by_chair.items()
    }
    operation = await stage.app.publish(tenant, question_text())
    for one in by_chair.values():
        again = await ask_published(stage.app, tenant, one.email, end, operation.operation_id)
        if again.data != one.answer.data:
            raise DemoAnswerError(
                f"operation {operation.operation_id} answers otherwise than its text"
            )
    contractor = stage.fleet.people[tenant][_MASKED_CHAIR]
    return TenantShown(
        people, operation.operation_id, await ask_masked(stage.app, tenant, contractor)
    )
