"""What one connection may take of its provider's quota.

Takes declared limits with the tenant's own on top; `Destination` carries it to the governor.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from firnline.connectors.limits import RateLimit


@dataclass(frozen=True)
class Allowance:
    """The limits of one connection.

    `user` tells apart whoever has limits of their own (`per: user`): the connection and the person.
    `interactive_reserve` and `sync_daily_max` are percentages, None for the installation's.
    """

    budgets: tuple[RateLimit, ...] = ()
    concurrency_per: Literal["account", "user"] = "account"
    user: str = ""
    interactive_reserve: int | None = None
    sync_daily_max: int | None = None

    @cached_property
    def identity(self) -> Hashable:
        """Return what is equal for equal allowances, and quickly hashed."""
        budgets = tuple(
            (each.name, each.calls, each.per_s, each.applies_to, each.per, each.unit, each.firm)
            for each in self.budgets
        )
        resets = tuple(each.resets for each in self.budgets)
        own = (self.interactive_reserve, self.sync_daily_max)
        return (budgets, resets, self.concurrency_per, self.user, own)


UNLIMITED = Allowance()
