"""Changes of a stored connection while others change it, too.

Takes what makes the next row of the one that is stored; each attempt starts from the row as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from firnline.state import ConnectionRow, StaleRowError, State

SAVES_MAX = 8

Change = Callable[[ConnectionRow | None], Awaitable[ConnectionRow | None]]


class Held(Protocol):
    """What says which connection is meant: its site, or a row of it."""

    @property
    def tenant(self) -> str:
        """The tenant that it belongs to."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def person(self) -> str:
        """Whose own it is; empty: the organisation's."""
        ...


async def changed(state: State, held: Held, change: Change) -> ConnectionRow | None:
    """Store what `change` makes of a connection's row; return what is stored in the end.

    `change` returns None to leave it as it is, and may raise instead. Raises StaleRowError when
    others are always quicker.
    """
    for _ in range(SAVES_MAX):
        row = await state.connection(held.tenant, held.name, held.person)
        wanted = await change(row)
        if wanted is None:
            return row
        try:
            return await state.save_connection(wanted)
        except StaleRowError:
            continue  # changed meanwhile, or sealed with a key that is gone: from the start
    raise StaleRowError(held.tenant, held.name)
