"""What a provider allows its clients: the `limits` of connector.yaml, and a tenant's own on top.

Takes the manifest's declaration and what a connection's YAML replaces; the quota governor keeps
calls within it, sync takes page sizes and overlaps from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

DAILY = "daily"
DAY_S = 86_400.0

BudgetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
# "rolling", or the time and the zone in which a new day begins there: "00:00 America/Chicago".
Resets = Annotated[
    str, StringConstraints(pattern=r"^(rolling|([01][0-9]|2[0-3]):[0-5][0-9]( [A-Za-z0-9_+/-]+)?)$")
]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RateLimit(_Closed):
    """So many calls (or seconds of them) within any window of so many seconds."""

    name: BudgetName
    """How the connector's readings, standing and errors call it."""

    calls: int = Field(ge=1)
    """How many within the window; with `unit: seconds` how long calls may take in sum."""

    per_s: float = Field(gt=0, allow_inf_nan=False)
    """The length of the window."""

    applies_to: tuple[str, ...] = ()
    """Glob patterns of the endpoints it counts, such as `GET /api/v2/incremental/*` or a path
    alone; all when absent. A call counts against every budget that applies to it."""

    per: Literal["account", "user"] = "account"
    """Whether all connections to the provider's account share it, or each user has it."""

    unit: Literal["calls", "seconds"] = "calls"
    """What is counted."""

    resets: Resets = "rolling"
    """When a day begins, for limits of a day; `rolling`: the last `per_s` seconds count."""

    firm: bool = False
    """Whether a higher limit that the provider states leaves this one as it is."""

    @field_validator("resets")
    @classmethod
    def _known_zone(cls, resets: str) -> str:
        zone = resets.partition(" ")[2]
        try:
            ZoneInfo(zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{zone!r} is not a time zone") from None
        return resets

    @model_validator(mode="after")
    def _day_long(self) -> Self:
        if self.resets != "rolling" and self.per_s != DAY_S:
            raise ValueError("only a limit of a day (per_s: 86400) resets at a time of day")
        return self

    def applies(self, method: str, path: str) -> bool:
        """Say whether a call counts against it."""
        if not self.applies_to:
            return True
        names = (path, f"{method} {path}")
        return any(fnmatchcase(name, pattern) for pattern in self.applies_to for name in names)


class DailyLimit(_Closed):
    """So many calls a day."""

    calls: int = Field(ge=1)
    """How many."""

    resets: Resets = "rolling"
    """When a day begins: `00:00 America/Chicago`, or `rolling` for the last 24 hours."""


class RateOverride(_Closed):
    """What a tenant's plan makes of a declared budget."""

    model_config = ConfigDict(populate_by_name=True, strict=True)

    calls: int = Field(ge=1)
    """How many calls in its window."""

    per_s: float | None = Field(default=None, gt=0, allow_inf_nan=False, alias="perS")
    """The length of the window, when it differs as well."""


class LimitsOverride(_Closed):
    """What a tenant's plan allows, or what the tenant leaves to Firnline of it.

    Whatever is given here holds: it narrows and widens what the connector declares, and a higher
    limit that the provider's answers state does not raise it.
    """

    model_config = ConfigDict(populate_by_name=True, strict=True)

    concurrency_max: int | None = Field(default=None, ge=1, le=1000, alias="concurrencyMax")
    """How many calls at a time."""

    rates: Mapping[BudgetName, RateOverride] = Field(default_factory=dict)
    """The connector's budgets by name, as this plan has them."""

    daily: int | None = Field(default=None, ge=1)
    """How many calls a day."""

    interactive_reserve: int | None = Field(default=None, ge=0, le=90, alias="interactiveReserve")
    """The percentage kept for people who wait; the installation's setting when absent."""

    sync_daily_max: int | None = Field(default=None, ge=1, le=100, alias="syncDailyMax")
    """At which percentage of the day's calls syncs stop; the installation's setting when absent."""


class Limits(_Closed):
    """What the provider allows, as far as a client can respect it beforehand."""

    concurrency_max: int = Field(default=5, ge=1)
    """How many calls at a time, over everybody who shares the limit."""

    concurrency_per: Literal["account", "user"] = "account"
    """Whether the account or each user has so many."""

    rates: tuple[RateLimit, ...] = ()
    """Budgets of a window; a call needs a place in each that applies to it."""

    daily: DailyLimit | None = None
    """The day's budget."""

    page_size: int = 1000
    overlap_s: int = 120
    pages_max: int = 10_000

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [budget.name for budget in self.budgets]
        if len(set(names)) != len(names):
            raise ValueError("two budgets have the same name")
        return self

    @property
    def budgets(self) -> tuple[RateLimit, ...]:
        """Every budget, the day's one last."""
        if self.daily is None:
            return self.rates
        day = RateLimit(name=DAILY, calls=self.daily.calls, per_s=DAY_S, resets=self.daily.resets)
        return (*self.rates, day)

    def unknown(self, override: LimitsOverride) -> tuple[str, ...]:
        """Return the budgets that an override names and the connector does not declare."""
        return tuple(sorted(set(override.rates) - {budget.name for budget in self.rates}))

    def narrowed(self, override: LimitsOverride | None) -> tuple[int, tuple[RateLimit, ...]]:
        """Return concurrency and budgets as they are for a connection with an override."""
        if override is None:
            return self.concurrency_max, self.budgets
        budgets = [_overridden(budget, override) for budget in self.budgets]
        if override.daily is not None and self.daily is None:
            budgets.append(RateLimit(name=DAILY, calls=override.daily, per_s=DAY_S, firm=True))
        return override.concurrency_max or self.concurrency_max, tuple(budgets)


def _overridden(budget: RateLimit, override: LimitsOverride) -> RateLimit:
    if budget.name == DAILY:
        if override.daily is None:
            return budget
        return budget.model_copy(update={"calls": override.daily, "firm": True})
    own = override.rates.get(budget.name)
    if own is None:
        return budget
    per_s = budget.per_s if own.per_s is None else own.per_s
    return budget.model_copy(update={"calls": own.calls, "per_s": per_s, "firm": True})
