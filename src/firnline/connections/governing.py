"""Opens what keeps calls within their quotas: the shared ledgers and the governor over them.

Takes settings; `Connections` receives the governor for its transport. An installation whose ledgers
cannot be opened goes on with each process counting alone.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from firnline.clock import Clock
from firnline.settings import Settings
from firnline.state.database import StateUnavailableError
from firnline.state.quotas import QuotaStore
from firnline.transport.quota.governor import QuotaGovernor
from firnline.transport.quota.terms import Shares

_log = logging.getLogger(__name__)


@asynccontextmanager
async def governed(settings: Settings, *, clock: Clock) -> AsyncIterator[QuotaGovernor]:
    """Give the governor that `settings` ask for; in the end its places are given back."""
    store = await _opened(settings, clock)
    shares = Shares(settings.quota_interactive_reserve, settings.quota_sync_daily_max)
    is_pacing = settings.quota_pacing
    governor = QuotaGovernor(
        store=store,
        clock=clock,
        shares=shares,
        is_pacing=not settings.routes if is_pacing is None else is_pacing,
    )
    try:
        yield governor
    finally:
        await governor.close()
        if store is not None:
            await store.close()


async def _opened(settings: Settings, clock: Clock) -> QuotaStore | None:
    try:
        return await QuotaStore.open(settings, clock=clock)
    except StateUnavailableError as trouble:
        _log.warning("quotas are counted by this process alone: %s", trouble)
        return None
