"""Which browser used a connect link first: a link is good for that one alone.

Takes digests only; a copy of this database opens no link and no session.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from firnline.state import schema


class LinkClaims:
    """Links in use. Made by `State`."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._engine = engine
        self._reading = reading

    async def claim(
        self, tenant: str, link: str, browser: str, *, expires_at: datetime, now: datetime
    ) -> bool:
        """Say whether the link is this browser's: nobody's before, or its own already.

        Of two browsers at once one gets it. Links that ran out are forgotten.
        """
        table = schema.connect_links
        claimed = insert(table).values(
            tenant=tenant, link=link, browser=browser, expires_at=expires_at
        )
        try:
            async with self._engine.begin() as connection:
                await connection.execute(delete(table).where(table.c.expires_at <= now))
                await connection.execute(claimed)
        except IntegrityError:
            owner = select(table.c.browser).where(table.c.tenant == tenant, table.c.link == link)
            async with self._reading.connect() as connection:
                return (await connection.execute(owner)).scalar() == browser
        return True
