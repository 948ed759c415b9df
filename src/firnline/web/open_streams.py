"""Bounds how many subscriptions are open: of a person, of a tenant, and in all.

Takes tenant and person of a subscription; the GraphQL edge receives a place, held until the stream
ends, or the refusal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from firnline.errors import FirnlineError


class TooManySubscriptionsError(FirnlineError):
    """As many subscriptions are open as may be."""

    code = "too_many_subscriptions"
    status = 429
    retryable = True

    def __init__(self, whose: str, limit: int) -> None:
        super().__init__(
            f"{limit} subscriptions {whose} are open, and more are not taken",
            hint="Close one, or ask for more in one subscription: a namespace holds many lists.",
        )


class OpenStreams:
    """Gives places. `total_max` is for all tenants together."""

    def __init__(self, *, tenant_max: int, person_max: int, total_max: int) -> None:
        self._tenant_max = tenant_max
        self._person_max = person_max
        self._total_max = total_max
        self._open: Counter[tuple[str, ...]] = Counter()

    def __len__(self) -> int:
        """Return how many are open."""
        return self._open[()]

    @contextmanager
    def place(self, tenant: str, person: str) -> Iterator[None]:
        """Hold a place while the block runs; raises TooManySubscriptionsError."""
        bounds = (
            ((tenant, person), self._person_max, "of this person"),
            ((tenant,), self._tenant_max, "of this tenant"),
            ((), self._total_max, "in all"),
        )
        for slot, limit, whose in bounds:
            if self._open[slot] >= limit:
                raise TooManySubscriptionsError(whose, limit)
        for slot, _, _ in bounds:
            self._open[slot] += 1
        try:
            yield
        finally:
            for slot, _, _ in bounds:
                self._open[slot] -= 1
                if not self._open[slot]:
                    del self._open[slot]
