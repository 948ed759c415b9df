"""Checks API keys as programs send them, and notes when each was used last.

Takes a bearer token; the edges receive the key's row. What was read of a key counts for half a
second, so that one that is revoked, by whatever process, ends within a second.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from firnline.access.api_keys import INSTALLATION, ApiKeyRefusedError, KeyText, ScopeMissingError
from firnline.access.principal import Principal
from firnline.clock import Clock
from firnline.flights import Flights
from firnline.recent import Recent
from firnline.state.api_keys import USE_NOTED_EVERY, ApiKeyRow

KNOWN_S = 0.5
KEYS_KNOWN_MAX = 4096
READING_MAX = 4  # whoever guesses ids keeps the database no busier than this

_log = logging.getLogger("firnline.keys")


class KeyStore(Protocol):
    """Where keys are kept (`state.api_keys.ApiKeyStore`)."""

    async def find(self, key_id: str) -> ApiKeyRow | None:
        """Return the key of that id, current or not."""
        ...

    async def note_use(self, key_id: str, *, at: datetime) -> None:
        """Remember that a key was used."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    row: ApiKeyRow | None
    read_s: float


class ApiKeys:
    """The API keys of an installation."""

    def __init__(self, store: KeyStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: Recent[str, _Known] = Recent(KEYS_KNOWN_MAX)
        self._noted: Recent[str, datetime] = Recent(KEYS_KNOWN_MAX)
        self._readings: Flights[str, ApiKeyRow | None] = Flights(goes_on=True)
        self._notes: set[asyncio.Future[None]] = set()
        self._places = asyncio.Semaphore(READING_MAX)

    async def verify(self, token: str) -> ApiKeyRow:
        """Return the current key that `token` is the text of.

        Raises ApiKeyRefusedError, or what the state raises when it cannot be read.
        """
        text = KeyText.of(token)
        row = await self._row(text.key_id)
        now = self._clock.now()
        is_open = text.opens(None if row is None else row.digest)
        if row is None or not is_open or not row.is_current(now):
            raise ApiKeyRefusedError
        self._note(row, now)
        return row

    async def principal(self, token: str) -> Principal:
        """Return the person at a tenant as whom a key asks.

        Raises ApiKeyRefusedError or ScopeMissingError.
        """
        row = await self.verify(token)
        if "graphql" not in row.scopes or not row.person or row.tenant == INSTALLATION:
            raise ScopeMissingError("graphql")
        return Principal(row.tenant, row.person, agent=row.agent, credential=f"key:{row.key_id}")

    def seconds_left(self, row: ApiKeyRow) -> float:
        """Return for how long a key goes on being accepted, unless it is revoked."""
        if row.expires_at is None:
            return float("inf")
        return (row.expires_at - self._clock.now()).total_seconds()

    async def close(self) -> None:
        """Write what is being noted."""
        await asyncio.gather(*self._notes)

    async def _row(self, key_id: str) -> ApiKeyRow | None:
        known = self._known.get(key_id)
        if known is not None and self._clock.monotonic() - known.read_s < KNOWN_S:
            return known.row
        return await self._readings.join(key_id, lambda: self._read(key_id))

    async def _read(self, key_id: str) -> ApiKeyRow | None:
        async with self._places:
            # Taken before: what changes while it is read may not count for longer.
            read_s = self._clock.monotonic()
            row = await self._store.find(key_id)
        if row is not None:
            self._known.put(key_id, _Known(row, read_s))
        return row

    def _note(self, row: ApiKeyRow, now: datetime) -> None:
        last = self._noted.get(row.key_id) or row.used_at
        if last is not None and now - last < USE_NOTED_EVERY:
            return
        self._noted.put(row.key_id, now)
        writing = asyncio.ensure_future(self._write(row.key_id, now))
        self._notes.add(writing)
        writing.add_done_callback(self._notes.discard)

    async def _write(self, key_id: str, now: datetime) -> None:
        try:
            await self._store.note_use(key_id, at=now)
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and the key opens all the same
            _log.warning("the use of an API key was not noted (%s)", type(error).__name__)
