"""Looks names up, in threads of its own: one per name, however many calls wait for it.

Takes a host and a port; the address guard receives the addresses and judges them. The system's
resolver blocks its thread for as long as a name server is silent: in the threads that everybody
shares, a few names of one tenant would stop the reads of all others.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from firnline.flights import Flights

THREADS_MAX = 32


class NameLookups:
    """The look-ups of one process. Nothing is kept: each new connection asks anew."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="firnline-names")
        # A thread cannot be cancelled: who asks for the same name later waits for the same answer.
        self._flights: Flights[tuple[str, int], Sequence[str]] = Flights(goes_on=True)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of `host`; raises OSError."""
        return await self._flights.join((host, port), partial(self._ask, host, port))

    def close(self) -> None:
        """Let the threads end; one that a name server keeps waiting ends in its own time."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _addresses, host, port)


def _addresses(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
