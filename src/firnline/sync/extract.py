"""Step 2: pages of records, asked for in a connector's words and sent over a channel.

Takes a connector, a channel and a run; `sync.normalize` receives the pages. Retries, tokens and
limits are the channel's.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from firnline.clock import Clock
from firnline.connectors.protocol import (
    Connector,
    Grounds,
    Page,
    ReadQuery,
    Request,
    Response,
    Verdict,
)
from firnline.errors import FirnlineError
from firnline.sync.checkpoint import Run

Answer = TypeVar("Answer")

PAUSE_MAX_S = 300.0  # longer ones end the run; the next one goes on from the checkpoint
PAUSES_MAX = 100  # for one page
_QUOTA_PAUSES = frozenset({"quota_wait", "quota_reserved"})

_log = logging.getLogger(__name__)

# What a provider says of a page token that it no longer knows. Not every connector can tell; one
# stored token that is refused in other words must not keep its object from ever being read again.
_TOKEN_REFUSALS = frozenset(
    {Grounds.CURSOR_GONE, Grounds.INVALID, Grounds.NOT_FOUND, Grounds.CONFLICT}
)


class Channel(Protocol):
    """One authorised connection: sends requests, returns answers."""

    async def send(self, request: Request) -> Response:
        """Return the provider's answer; raises a FirnlineError when there is none to use."""
        ...


class PageLoopError(FirnlineError):
    """The provider gave a page token for the second time in one run."""

    code = "page_loop"

    def __init__(self, object_name: str, pages: int) -> None:
        super().__init__(
            f"reading {object_name} came back to an earlier page after {pages} pages",
            hint="Run sync again; if it stays, the provider's paging or the connector is at fault.",
        )


class PageLimitError(FirnlineError):
    """A run has more pages than the connector allows for."""

    code = "page_limit"

    def __init__(self, object_name: str, pages_max: int) -> None:
        super().__init__(
            f"reading {object_name} did not end within {pages_max} pages",
            hint="Run sync again to go on from here, or raise limits.pages_max in connector.yaml.",
        )


class PageUnreadableError(FirnlineError):
    """The connector could not make sense of a successful answer, or of the object."""

    code = "page_unreadable"

    def __init__(self, object_name: str, failure: Exception) -> None:
        super().__init__(
            f"a page of {object_name} could not be read ({type(failure).__name__})",
            hint="Run `firnline discover` again; if it stays, report it to the connector's author.",
        )


class ReadRefusedError(FirnlineError):
    """The provider refused to give a page."""

    code = "read_refused"
    status = 502

    def __init__(self, object_name: str, verdict: Verdict) -> None:
        said = f": {' '.join(verdict.message.split())[:300]}" if verdict.message else ""
        super().__init__(
            f"the provider refused to list {object_name} ({verdict.grounds}){said}",
            hint="Give the connected user access to this object, or exclude it in firnline.yaml.",
        )
        self.verdict = verdict


def is_token_refusal(error: FirnlineError) -> bool:
    """Say whether `error` may mean that a page token has expired."""
    verdict = getattr(error, "verdict", None)
    return isinstance(verdict, Verdict) and verdict.grounds in _TOKEN_REFUSALS


class Extractor:
    """Reads the pages of one object over one channel."""

    def __init__(self, connector: Connector, channel: Channel, *, clock: Clock) -> None:
        self._connector = connector
        self._channel = channel
        self._clock = clock
        self._limits = connector.manifest.limits

    async def pages(self, run: Run) -> AsyncGenerator[Page, None]:
        """Yield the pages of `run` from its page token on.

        Raises PageLoopError, PageLimitError, PageUnreadableError, ReadRefusedError, or what the
        channel raises.
        """
        build, parse = self._connector.build_read, self._connector.parse_page
        async for page in self._walk(run, self._query(run, run.since, run.page), build, parse):
            yield page

    async def deletes(self, run: Run) -> AsyncGenerator[Page, None]:
        """Yield pages of deleted keys; none when reads show deletions. Raises as `pages` does."""
        build, parse = self._connector.build_deletes, self._connector.parse_deletes
        query = self._query(run, run.deletes_since or run.since, None)
        async for page in self._walk(run, query, build, parse):
            yield page

    async def _walk(
        self,
        run: Run,
        query: ReadQuery,
        build: Callable[[ReadQuery], Request | None],
        parse: Callable[[ReadQuery, Response], Page],
    ) -> AsyncGenerator[Page, None]:
        seen = {query.page}
        for number in range(1, self._limits.pages_max + 1):
            request = self._in_connector(run, partial(build, query))
            if request is None:
                return
            response = await self._sent(request)
            if self._connector.refused(response):
                raise ReadRefusedError(run.object.name, self._connector.classify(response))
            page = self._in_connector(run, partial(parse, query, response))
            if page.next_page is not None and page.next_page in seen:
                raise PageLoopError(run.object.name, number)
            yield page
            if page.next_page is None:
                return
            seen.add(page.next_page)
            query = replace(query, page=page.next_page, now=self._clock.now())
        raise PageLimitError(run.object.name, self._limits.pages_max)

    async def _sent(self, request: Request) -> Response:
        """Send a request; wait where the provider's quota has room again in a while.

        Nobody waits for a sync, and what is in the cache stays readable meanwhile.
        """
        for _ in range(PAUSES_MAX):
            try:
                return await self._channel.send(request)
            except FirnlineError as error:
                wait_s = getattr(error, "retry_after_s", None)
                if error.code not in _QUOTA_PAUSES or wait_s is None or wait_s > PAUSE_MAX_S:
                    raise
            await self._clock.sleep(wait_s)
        return await self._channel.send(request)

    def _query(self, run: Run, since: str | None, page: str | None) -> ReadQuery:
        return ReadQuery(
            object=run.object,
            fields=tuple(field.name for field in run.object.fields),
            since=since,
            page=page,
            page_size=self._limits.page_size,
            now=self._clock.now(),
        )

    def _in_connector(self, run: Run, step: Callable[[], Answer]) -> Answer:
        """Call the connector; what it stumbles over ends this object's run only."""
        try:
            return step()
        except FirnlineError:
            raise
        except Exception as failure:
            _log.debug("the connector failed on %s", run.object.name, exc_info=True)
            raise PageUnreadableError(run.object.name, failure) from failure
