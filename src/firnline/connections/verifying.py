"""Asks providers which single records one person sees now.

Takes an object, its records' keys and a person; the checks of a request receive the keys that are
seen. The person's own connection is used where there is one; the organisation's asks about them
where the provider answers that. All requests of one question go out together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from firnline.clock import Clock
from firnline.connections.channel import Channel
from firnline.connections.closed import ConnectionClosedError, connect_command
from firnline.connections.service import Connections
from firnline.connections.site import declared_site
from firnline.connectors.protocol import Connector, ProviderRefusal, Steps, VerifyQuery
from firnline.errors import FirnlineError
from firnline.spec.model import TenantSpec
from firnline.transport import ProviderAnswerError, ProviderError

PAUSE_S = 2.0  # after an outage: who asks meanwhile is told at once
PAUSES_MAX = 4096

Ask = Callable[[Channel, VerifyQuery], Awaitable[frozenset[str]]]


class VerifyNotConnectedError(FirnlineError):
    """There is no way to ask the provider what the person sees."""

    code = "verify_not_connected"
    status = 409


class VerifyOtherUserError(FirnlineError):
    """The person's own connection is that of another user at the provider."""

    code = "verify_other_user"
    status = 409


class VerifyPausedError(FirnlineError):
    """The provider did not answer a moment ago, and is left in peace for a while."""

    code = "verify_paused"
    retryable = True
    status = 503


class Verifying:
    """Asks for all tenants. One per process, safe to share."""

    def __init__(
        self, connections: Connections, tenants: Mapping[str, TenantSpec], *, clock: Clock
    ) -> None:
        self._connections = connections
        self._tenants = tenants
        self._clock = clock
        self._paused_until: dict[tuple[str, str], float] = {}

    async def visible(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return which keys of a query, however many, the person sees now.

        Raises VerifyNotConnectedError, VerifyOtherUserError, VerifyPausedError or a ProviderError.
        """
        return await self._paced(tenant, connection, query, person, partial(_records, deadline_s))

    async def hidden_fields(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return which fields of a query's object are kept back from the person now.

        Raises what `visible` raises.
        """
        return await self._paced(tenant, connection, query, person, partial(_fields, deadline_s))

    async def _paced(
        self, tenant: str, connection: str, query: VerifyQuery, person: str, ask: Ask
    ) -> frozenset[str]:
        self._require_open(tenant, connection)
        try:
            return await self._asked(tenant, connection, query, person, ask)
        except ProviderError as error:
            if error.retryable:
                self._pause(tenant, connection)
            raise

    async def _asked(
        self, tenant: str, connection: str, query: VerifyQuery, person: str, ask: Ask
    ) -> frozenset[str]:
        spec = self._tenants[tenant]
        site = declared_site(spec, connection)
        verify = site.manifest.verify
        closed: FirnlineError = VerifyNotConnectedError(
            f"{connection} cannot be asked which of its records you may see"
        )
        ways = () if verify is None else verify.by
        if "person" in ways:
            try:
                channel = await self._own(spec, connection, query, person)
                return await ask(channel, replace(query, is_own=True))
            except VerifyOtherUserError as error:
                closed = error
            except ConnectionClosedError:
                closed = VerifyNotConnectedError(
                    f"nobody connected {connection} for you, to be asked what you may see",
                    hint=f"Run: {connect_command(site.of(person))}",
                )
        if "organisation" not in ways:
            raise closed
        try:
            channel = await self._connections.channel(tenant, spec, connection)
            return await ask(channel, replace(query, is_own=False))
        except ConnectionClosedError:
            raise closed from None

    async def _own(
        self, spec: TenantSpec, connection: str, query: VerifyQuery, person: str
    ) -> Channel:
        """Return the person's own way; raises what keeps it closed, or VerifyOtherUserError."""
        channel = await self._connections.channel(spec.tenant, spec, connection, person=person)
        row = await self._connections.state.connection(spec.tenant, connection, person)
        # Providers that name no user (NetSuite) map the key that signs to the person instead.
        if row is not None and row.user_key and row.user_key != query.user_key:
            raise VerifyOtherUserError(
                f"your own connection to {connection} belongs to another user there",
                hint="Connect again, signed in as yourself.",
            )
        return channel

    def _require_open(self, tenant: str, connection: str) -> None:
        until = self._paused_until.get((tenant, connection))
        if until is not None and self._clock.monotonic() < until:
            raise VerifyPausedError(f"{connection} did not answer a moment ago")

    def _pause(self, tenant: str, connection: str) -> None:
        now = self._clock.monotonic()
        if len(self._paused_until) >= PAUSES_MAX:
            self._paused_until = {k: v for k, v in self._paused_until.items() if v > now}
        self._paused_until[tenant, connection] = now + PAUSE_S


async def _records(deadline_s: float, channel: Channel, query: VerifyQuery) -> frozenset[str]:
    verify = channel.connector.manifest.verify
    assert verify is not None
    queries = [replace(query, keys=keys) for keys in _batches(query.keys, verify.batch_max)]
    return await _run(deadline_s, channel, _asking(channel.connector, queries))


async def _fields(deadline_s: float, channel: Channel, query: VerifyQuery) -> frozenset[str]:
    return await _run(deadline_s, channel, channel.connector.verify_fields(query))


async def _run(deadline_s: float, channel: Channel, steps: Steps[frozenset[str]]) -> frozenset[str]:
    try:
        return await channel.run(steps, deadline_s=deadline_s)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProviderAnswerError(
            channel.destination, "an answer is not of the form asked for"
        ) from error


def _asking(connector: Connector, queries: Sequence[VerifyQuery]) -> Steps[frozenset[str]]:
    """Ask all batches at once; a refusal of one is a refusal of all."""
    requests = [connector.build_verify(query) for query in queries]
    responses = yield requests
    visible: set[str] = set()
    for query, request, response in zip(queries, requests, responses, strict=True):
        if connector.refused(response):
            raise ProviderRefusal(request, response)
        # Nothing counts that was not asked about.
        visible |= connector.parse_verify(query, response) & set(query.keys)
    return frozenset(visible)


def _batches(keys: Sequence[str], size: int) -> list[tuple[str, ...]]:
    every = iter(dict.fromkeys(keys))
    return list(iter(lambda: tuple(islice(every, size)), ()))
