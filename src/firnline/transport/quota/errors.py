"""Why a call was not sent for the quota's sake; nothing has left then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firnline.transport.errors import ProviderRateLimitedError

if TYPE_CHECKING:
    from firnline.transport.call import Destination


class QuotaWaitError(ProviderRateLimitedError):
    """The provider's quota leaves no room before the call's deadline. Nothing was sent."""

    code = "quota_wait"
    was_sent = False

    def __init__(self, destination: Destination, budget: str, *, retry_after_s: float) -> None:
        super().__init__(
            destination,
            f"its quota ({budget}) has room in {retry_after_s:.1f} s, which is too late",
            retry_after_s=retry_after_s,
        )
        self.budget = budget


class QuotaReservedError(ProviderRateLimitedError):
    """What is left of the provider's quota is kept for people who wait. Nothing was sent."""

    code = "quota_reserved"
    was_sent = False

    def __init__(self, destination: Destination, budget: str, *, retry_after_s: float) -> None:
        super().__init__(
            destination,
            f"what is left of its quota ({budget}) is kept for people who wait",
            retry_after_s=retry_after_s,
        )
        self.budget = budget
