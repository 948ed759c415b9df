"""A channel: one tenant's authorised way to one provider.

Sync, discovery and identity send a connector's `Request`s here and get `Response`s back; refusals
come out as typed errors. The connector judges answers, the channel acts on the judgement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

import orjson
from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.authorisation import Authorisation, authorisation_of
from firnline.connections.csrf import (
    CSRF_TOKENS_MAX,
    SAFE_METHODS,
    CsrfRefusedError,
    CsrfTokens,
    is_csrf_refusal,
)
from firnline.connections.site import Site
from firnline.connections.tokens import Credential
from firnline.connections.turns import Turns
from firnline.connections.verdicts import judged, refusal_error
from firnline.connectors.manifest import Csrf
from firnline.connectors.protocol import (
    Connector,
    Grounds,
    ProviderRefusal,
    Request,
    Response,
    Steps,
    Verdict,
)
from firnline.errors import FirnlineError
from firnline.transport import (
    Destination,
    ForbiddenHostError,
    OutboundCall,
    ProviderAnswerError,
    ProviderTimeoutError,
    Transport,
    Use,
)
from firnline.transport.address import AddressRefused, origin_of
from firnline.transport.errors import provider_text

T = TypeVar("T")

STEPS_MAX = 10_000
BATCH_MAX = 1_000
CONFIRM_WAIT_S = 0.5
LOST = (Grounds.TOKEN_EXPIRED, Grounds.TOKEN_REVOKED)
PASSING_WAITS_S = (0.25, 0.75)  # before what a provider says of a token just renewed is believed


class ConversationError(FirnlineError):
    """A connector's conversation does not come to its end."""

    code = "connector_conversation"


class Channel:
    """Speaks to one provider for one connection. Made by `Connections.channel`."""

    def __init__(
        self,
        site: Site,
        credential: Credential,
        *,
        transport: Transport,
        clock: Clock,
        deadline_s: float,
        csrf: CsrfTokens,
        turns: Turns,
        use: Use = Use.INTERACTIVE,
    ) -> None:
        self._site = site
        self._credential = credential
        self._transport = transport
        self._clock = clock
        self._deadline_s = deadline_s
        self._use = use
        self._csrf = csrf
        self._turns = turns

    def __repr__(self) -> str:
        return f"Channel({self._site.destination.label})"

    @property
    def connector(self) -> Connector:
        """The connector that describes this provider."""
        return self._site.connector

    @property
    def tenant(self) -> str:
        """The tenant that the connection belongs to."""
        return self._site.tenant

    @property
    def name(self) -> str:
        """The connection's name."""
        return self._site.name

    @property
    def destination(self) -> Destination:
        """Whose calls these are and where they go, for errors."""
        return self._site.destination

    @property
    def settings(self) -> Mapping[str, str]:
        """The connection's settings, as the tenant's YAML gives them."""
        return self._site.settings

    async def send(self, request: Request, *, deadline_s: float | None = None) -> Response:
        """Return the successful answer to `request`, authorised and repeated as it may be.

        Raises a ProviderError (the provider's refusals are ProviderRefusedErrors),
        NotConnectedError, NeedsReconnectError or ConnectionDisabledError.
        """
        response = await self.exchange(request, deadline_s=deadline_s)
        if self.connector.refused(response):
            raise self.refusal(request, response)
        return response

    async def exchange(self, request: Request, *, deadline_s: float | None = None) -> Response:
        """Return the answer to `request`, a refusal of this very request included.

        A refusal of the token renews it once; quota and outages are waited for within the
        deadline. What these cannot mend is raised as in `send`.
        """
        allowed_s = self._deadline_s if deadline_s is None else deadline_s
        ends_at = self._clock.monotonic() + allowed_s
        token = await self._within(ends_at, self._credential.token())
        response = await self._authorised(request, token, ends_at)
        verdict = self._judge(response)
        if verdict is not None and verdict.grounds is Grounds.TOKEN_EXPIRED:
            rejected = token
            token = await self._within(ends_at, self._credential.renew(rejected))
            if token == rejected:
                return await self._confirmed(request, ends_at)
            token, response = await self._insisted(request, token, ends_at)
            verdict = self._judge(response)
        return await self._unless_lost(token, response, verdict)

    async def _confirmed(self, request: Request, ends_at: float) -> Response:
        """Return the answer to a secret that nothing renews, shown once more.

        One refusal of it may be a passing one. But providers lock users for whom a wrong password
        comes again and again: one caller shows it, and the others hear first what became of it.
        """
        await self._clock.sleep(CONFIRM_WAIT_S)
        turn = self._turns.of(self._site)
        await self._within(ends_at, turn.acquire())
        try:
            token = await self._within(ends_at, self._credential.token())
            response = await self._authorised(request, token, ends_at)
            return await self._unless_lost(token, response, self._judge(response))
        finally:
            turn.release()

    async def _unless_lost(
        self, token: SecretStr, response: Response, verdict: Verdict | None
    ) -> Response:
        """Return an answer; raise, and note with the connection, that it refuses the token."""
        if verdict is not None and verdict.grounds in LOST:
            said = provider_text(verdict.message) or f"the provider answered {response.status}"
            raise await self._credential.refused(token, said)
        return response

    async def _insisted(
        self, request: Request, token: SecretStr, ends_at: float
    ) -> tuple[SecretStr, Response]:
        """Return the answer to a renewed token, which may take a moment to be known everywhere.

        It is refused before anything is done, so that also a write may be sent again.
        """
        for wait_s in PASSING_WAITS_S:
            response = await self._authorised(request, token, ends_at)
            verdict = self._judge(response)
            if verdict is None or verdict.grounds is not Grounds.TOKEN_EXPIRED:
                return token, response
            if self._clock.monotonic() + wait_s >= ends_at:
                raise ProviderTimeoutError(
                    self._site.destination, "its renewed authorisation was not taken in time"
                )
            await self._clock.sleep(wait_s)
            token = await self._within(ends_at, self._credential.token())
        return token, await self._authorised(request, token, ends_at)

    async def run(self, steps: Steps[T], *, deadline_s: float | None = None) -> T:
        """Drive a connector's conversation to its end; a batch's requests run at the same time.

        `deadline_s` counts for each request. Raises what `send` raises, and ConversationError
        when the conversation does not end.
        """
        with closing(steps):
            try:
                batch = next(steps)
                for _ in range(STEPS_MAX):
                    batch = steps.send(await self._batch(batch, deadline_s))
            except StopIteration as done:
                result: T = done.value
                return result
            except ProviderRefusal as refusal:
                raise self.refusal(refusal.request, refusal.response) from None
            except orjson.JSONDecodeError as error:
                raise ProviderAnswerError(
                    self._site.destination, "an answer is not the JSON that was asked for"
                ) from error
        raise ConversationError(f"{self._site.destination.label}: over {STEPS_MAX} steps")

    def refusal(self, request: Request, response: Response) -> FirnlineError:
        """Return the typed error for a refused answer to `request`."""
        verdict = self._judge(response) or self._classified(response)
        return refusal_error(self._site, request, response, verdict)

    async def _within(self, ends_at: float, obtained: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(max(0.0, ends_at - self._clock.monotonic())):
                return await obtained
        except TimeoutError:
            raise ProviderTimeoutError(
                self._site.destination, "renewing its authorisation takes too long"
            ) from None

    async def _batch(
        self, batch: Sequence[Request], deadline_s: float | None
    ) -> Sequence[Response]:
        if len(batch) > BATCH_MAX:
            raise ConversationError(
                f"{self._site.destination.label}: {len(batch)} requests at once, over {BATCH_MAX}"
            )
        if len(batch) == 1:
            return [await self.exchange(batch[0], deadline_s=deadline_s)]
        # No more at once than the account takes: a request's deadline must not pass in a queue.
        places = asyncio.Semaphore(self._site.destination.concurrency_max)

        async def placed(request: Request) -> Response:
            async with places:
                return await self.exchange(request, deadline_s=deadline_s)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(placed(request)) for request in batch]
        except BaseExceptionGroup as failed:
            raise _first(failed) from None
        return [task.result() for task in tasks]

    async def _authorised(self, request: Request, token: SecretStr, ends_at: float) -> Response:
        shown = authorisation_of(self._site.auth, token)
        self._own_url(request)  # refused before anything is fetched for it
        if self._site.manifest.csrf is None or request.method in SAFE_METHODS:
            return await self._sent(request, shown, ends_at)
        return await self._written(self._site.manifest.csrf, request, shown, ends_at)

    async def _written(
        self, csrf: Csrf, request: Request, shown: Authorisation, ends_at: float
    ) -> Response:
        """Send a write with a CSRF token, once more when the provider wants another."""
        rejected = None
        for _ in range(CSRF_TOKENS_MAX):
            token = await self._within(
                ends_at, self._csrf.current(self._site, csrf, shown, rejected, self._fetched)
            )
            if isinstance(token, Response):
                return token
            response = await self._sent(request, shown.plus(token.shown), ends_at)
            if not is_csrf_refusal(csrf, response):
                return response
            rejected = token  # before anything was done, so that also a write may be sent again
        raise CsrfRefusedError(
            self._site.destination, f"{request.method} was refused for its CSRF token, twice"
        )

    async def _fetched(self, request: Request, shown: Authorisation) -> Response:
        # For all who wait at the same time: no single one's deadline counts.
        return await self._sent(request, shown, self._clock.monotonic() + self._deadline_s)

    async def _sent(self, request: Request, shown: Authorisation, ends_at: float) -> Response:
        asked = {**_lower(self._site.manifest.headers), **_lower(request.headers)}
        call = OutboundCall(
            destination=self._site.destination,
            method=request.method,
            url=self._own_url(request),
            params=request.params,
            headers={**asked, **shown.as_headers()},
            json=request.json,
            form=request.form,
            repeatable=request.repeatable,
            judge=self._judge,
            use=self._use,
            template=request.template,
            quota=self.connector.quota,
            secrets=shown.hidden(),
        )
        return await self._transport.send(call, deadline_s=ends_at - self._clock.monotonic())

    def _own_url(self, request: Request) -> str:
        """Return the absolute URL; refuse an origin that is not the connection's own.

        The token goes where this points, and a provider's next-page link may point anywhere.
        """
        if request.path.startswith("/") and not request.path.startswith("//"):
            return self._site.base_url + request.path
        try:
            if origin_of(request.path) == origin_of(self._site.base_url):
                return request.path
            why = "it leads to another origin"
        except AddressRefused as refused:
            why = str(refused)
        raise ForbiddenHostError(
            self._site.destination, f"a link that the provider gave was not followed: {why}"
        )

    def _judge(self, response: Response) -> Verdict | None:
        return judged(self._site, response)

    def _classified(self, response: Response) -> Verdict:
        verdict = self.connector.classify(response)
        return replace(verdict, message=response.cut(verdict.message))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a batch; the others were cancelled or failed for the same cause."""
    first = failed.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
