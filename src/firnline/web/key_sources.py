"""Keeps the keys of issuers current: reads what they publish before it is old, and when asked for.

Takes issuers whose keys come from an address or a file; the token verifier finds what was read last
in their `IssuerKeys`. A source that fails leaves the old keys in place until their stated end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol

import orjson

from firnline.access.issuers import IssuerKeys
from firnline.access.keys import KeySetUnusableError, TrustedKey, published_keys
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.flights import Flights

FRESH_S = 600.0  # where the issuer does not say
FRESH_MIN_S = 60.0
FRESH_MAX_S = 3600.0
AHEAD = 0.8  # of the time that keys are fresh, after which they are read again
RETRY_MAX_S = 60.0
ASK_AGAIN_S = 60.0  # between two questions about keys that nobody knows
WAITING_MAX = 64  # for one reading; whoever sends made-up ids holds no more places than these
KEPT_S = 24 * 3600.0  # how long keys count that cannot be read again
FILE_EVERY_S = 1.0
FILE_BYTES_MAX = 256 * 1024

_log = logging.getLogger("firnline.keys")


class Document(Protocol):
    """What was read at an address (`transport.published.Published`)."""

    @property
    def content(self) -> bytes:
        """Return its bytes."""
        ...

    @property
    def fresh_s(self) -> float | None:
        """Return how long it may be kept, None where it does not say."""
        ...


Fetch = Callable[[str], Awaitable[Document]]


class _Source(Protocol):
    async def read(self) -> float:
        """Read the keys anew; return after how many seconds they should be read again."""
        ...

    async def look_again(self) -> None:
        """Read the keys anew for a key that is not known, unless that was done just now."""
        ...


class KeySources:
    """The sources of all issuers that have one."""

    def __init__(self, issuers: Iterable[IssuerKeys], *, fetch: Fetch, clock: Clock) -> None:
        self._clock = clock
        self._sources: dict[str, _Source] = {}
        for keys in issuers:
            issuer = keys.issuer
            if issuer.jwks_url:
                self._sources[issuer.name] = AddressSource(keys, fetch=fetch, clock=clock)
            elif issuer.jwks_file is not None:
                self._sources[issuer.name] = FileSource(keys, issuer.jwks_file, clock=clock)

    async def keep_fresh(self) -> None:
        """Read each source again and again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources.values():
                group.create_task(self._keep(source))

    async def look_again(self, issuer: str) -> None:
        """Return once what the issuer publishes is as new as one may ask for."""
        source = self._sources.get(issuer)
        if source is not None:
            await source.look_again()

    async def _keep(self, source: _Source) -> None:
        while True:
            try:
                rest_s = await source.read()
            except Exception:  # noqa: BLE001 - see below
                # One source that fails in a way nobody foresaw must not end the others' watch.
                _log.exception("the keys of an issuer cannot be read")
                rest_s = RETRY_MAX_S
            await self._clock.sleep(rest_s)


class AddressSource:
    """The keys that an issuer publishes at an address."""

    def __init__(self, keys: IssuerKeys, *, fetch: Fetch, clock: Clock) -> None:
        self._keys = keys
        self._fetch = fetch
        self._clock = clock
        self._flights: Flights[str, float] = Flights(goes_on=True)
        self._failures = 0
        self._asked_s: float | None = None
        self._waiting = 0

    async def read(self) -> float:
        """Read the keys anew, once for all that want it at the same time."""
        return await self._flights.join(self._keys.issuer.jwks_url, self._read)

    async def look_again(self) -> None:
        """Join a reading under way, or begin one; at most once a minute."""
        if self._waiting >= WAITING_MAX:
            return
        if not len(self._flights):
            now_s = self._clock.monotonic()
            if self._asked_s is not None and now_s - self._asked_s < ASK_AGAIN_S:
                return
            self._asked_s = now_s
        self._waiting += 1
        try:
            await self.read()
        finally:
            self._waiting -= 1

    async def _read(self) -> float:
        issuer = self._keys.issuer
        try:
            document = await self._fetch(issuer.jwks_url)
            keys = _keys_in(document.content, issuer.algorithms)
        except (FirnlineError, KeySetUnusableError) as error:
            self._failures += 1
            _log.warning("the keys of issuer %r cannot be read: %s", issuer.name, error)
            return float(min(RETRY_MAX_S, 2**self._failures))
        self._failures = 0
        _put(self._keys, keys, clock=self._clock)
        fresh_s = FRESH_S if document.fresh_s is None else document.fresh_s
        return AHEAD * min(FRESH_MAX_S, max(FRESH_MIN_S, fresh_s))


class FileSource:
    """The keys in a file, which is looked at once a second and read when it changed."""

    def __init__(self, keys: IssuerKeys, path: Path, *, clock: Clock) -> None:
        self._keys = keys
        self._path = path
        self._clock = clock
        self._version: tuple[int, int, int] | None = None
        self._known: dict[str, TrustedKey] = {}
        self._flights: Flights[str, float] = Flights(goes_on=True)
        self._looked_s: float | None = None
        self._is_failing = False

    async def look_again(self) -> None:
        """Wait for a look at the file that is under way, or begin one; at most once a second."""
        now_s = self._clock.monotonic()
        is_too_soon = self._looked_s is not None and now_s - self._looked_s < FILE_EVERY_S
        if len(self._flights) or not is_too_soon:
            await self.read()

    async def read(self) -> float:
        """Look at the file, once for all that want it, and read it when it changed."""
        return await self._flights.join(self._keys.issuer.name, self._read)

    async def _read(self) -> float:
        self._looked_s = self._clock.monotonic()
        try:
            found = await asyncio.to_thread(_changed, self._path, self._version)
            if found is not None:
                self._known = _keys_in(found[1], self._keys.issuer.algorithms)
                self._version = found[0]
        except (OSError, KeySetUnusableError) as error:
            if not self._is_failing:  # once, not once a second
                reason = error.strerror if isinstance(error, OSError) else error
                name = self._keys.issuer.name
                _log.warning("the key file of issuer %r cannot be used: %s", name, reason)
            self._is_failing = True
            return FILE_EVERY_S
        self._is_failing = False
        _put(self._keys, self._known, clock=self._clock)
        return FILE_EVERY_S


def _changed(
    path: Path, version: tuple[int, int, int] | None
) -> tuple[tuple[int, int, int], bytes] | None:
    """Return the file's version and content, None when it has that version already."""
    with path.open("rb") as file:
        status = path.stat()
        found = (status.st_mtime_ns, status.st_size, status.st_ino)
        return None if found == version else (found, file.read(FILE_BYTES_MAX + 1))


def _keys_in(content: bytes, algorithms: Iterable[str]) -> dict[str, TrustedKey]:
    if len(content) > FILE_BYTES_MAX:
        raise KeySetUnusableError(f"it is over {FILE_BYTES_MAX} bytes")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise KeySetUnusableError("it is not JSON") from None
    return published_keys(document, algorithms=frozenset(algorithms))


def _put(keys: IssuerKeys, found: dict[str, TrustedKey], *, clock: Clock) -> None:
    if keys.replace(found, ends_s=clock.now().timestamp() + KEPT_S):
        _log.info("issuer %r has %d usable keys now", keys.issuer.name, len(found))
        if not found:
            _log.warning("issuer %r publishes no usable key", keys.issuer.name)
