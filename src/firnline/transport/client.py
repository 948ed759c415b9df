"""The one outbound HTTP client: every call to a provider goes through `Transport.send`.

It guards addresses, keeps a total deadline, caps the decoded body, limits concurrency per provider
account and repeats repeatable calls. Who may call and what an answer means is its caller's:
`connections.channel` and the token endpoints.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore2
import httpx2

from firnline.clock import Clock
from firnline.connectors.protocol import Grounds, Response, Verdict
from firnline.transport.address import (
    AddressRefused,
    GuardedBackend,
    Resolver,
    check_url,
    resolve,
)
from firnline.transport.admission import AccountLanes, Governor
from firnline.transport.call import OutboundCall
from firnline.transport.errors import (
    ForbiddenHostError,
    ProviderAnswerError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
    provider_text,
)
from firnline.transport.retry import (
    ATTEMPTS_MAX,
    RETRY_AFTER_MIN_S,
    backoff_s,
    clamp_retry_after,
    parse_retry_after,
)
from firnline.transport.routes import Routes

BODY_BYTES_MAX = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 3.0
CONNECTIONS_MAX = 200
AGENT = "firnline"

Body = dict[str, Any]


class Transport:
    """Sends calls to providers. One per process; close it when done, or use `async with`."""

    def __init__(
        self,
        *,
        routes: Mapping[str, str],
        clock: Clock,
        resolver: Resolver = resolve,
        draw: Callable[[], float] = random.random,
        body_bytes_max: int = BODY_BYTES_MAX,
        governor: Governor | None = None,
    ) -> None:
        self.routes = Routes(routes)
        self._clock = clock
        self._draw = draw
        self._body_bytes_max = body_bytes_max
        self._governor: Governor = governor or AccountLanes()
        tls = httpx2.create_ssl_context()
        self._direct = _client(_GuardedTransport(resolver, tls))
        self._routed = _client(httpx2.AsyncHTTPTransport(verify=tls, limits=_limits()))
        # httpx2 logs whole URLs at INFO, and a provider's query strings hold people's records.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._direct.aclose()
        await self._routed.aclose()

    async def send(self, call: OutboundCall, *, deadline_s: float) -> Response:
        """Return the provider's answer within `deadline_s`, waits and repetitions included.

        An answer that the call's judge finds rate limited or unavailable is asked for again when
        the call is repeatable, and becomes an error when that does not help. Other refusals are
        returned as they are. Raises a ProviderError.
        """
        ends_at = self._clock.monotonic() + deadline_s
        attempts_max = ATTEMPTS_MAX if call.repeatable else 1
        for attempt in range(1, attempts_max + 1):
            outcome = await self._attempt(call, ends_at, idle_s=deadline_s / 2)
            if isinstance(outcome, Response):
                return outcome
            wait_s = self._wait_s(outcome, attempt)
            is_last = attempt == attempts_max
            if is_last or not outcome.retryable or self._clock.monotonic() + wait_s >= ends_at:
                raise outcome
            await self._clock.sleep(wait_s)
        raise AssertionError("the loop above returns or raises")  # pragma: no cover

    def _wait_s(self, failure: ProviderError, attempt: int) -> float:
        wait_s = backoff_s(attempt, self._draw())
        if isinstance(failure, ProviderRateLimitedError):
            return failure.retry_after_s + wait_s
        return wait_s

    async def _attempt(
        self, call: OutboundCall, ends_at: float, *, idle_s: float
    ) -> Response | ProviderError:
        """Send once; return the answer, or the error that says why there is none to use."""
        destination = call.destination
        try:
            async with asyncio.timeout(max(0.0, ends_at - self._clock.monotonic())):
                async with self._governor.admit(call, ends_at):
                    response = await self._exchange(call, idle_s)
                    verdict = call.judge(response)
                    self._governor.learn(call, response, verdict)
        except ProviderError as refused:
            return refused
        except AddressRefused as error:
            return ForbiddenHostError(destination, f"{call.method} was not sent: {error}")
        except (TimeoutError, httpx2.TimeoutException) as error:
            return _timeout(call, error)
        except _BodyTooLarge:
            limit = self._body_bytes_max
            return ProviderAnswerError(
                destination, f"the answer to {call.endpoint} is over {limit} bytes"
            )
        except httpx2.DecodingError:
            return ProviderAnswerError(
                destination, f"the answer to {call.endpoint} is wrongly compressed"
            )
        except httpx2.TransportError as error:
            what = f"{call.endpoint} got no whole answer ({type(error).__name__})"
            return ProviderUnreachableError(destination, what)
        return self._judged(call, response, verdict)

    def _judged(
        self, call: OutboundCall, response: Response, verdict: Verdict | None
    ) -> Response | ProviderError:
        if verdict is None:
            return response
        said = provider_text(verdict.message)
        what = f"{call.endpoint} answered {response.status}" + (f": {said}" if said else "")
        if verdict.grounds is Grounds.RATE_LIMITED:
            wait_s = self._retry_after_s(verdict, response)
            return ProviderRateLimitedError(call.destination, what, retry_after_s=wait_s)
        if verdict.grounds is Grounds.UNAVAILABLE:
            return ProviderUnavailableError(call.destination, what)
        return response

    def _retry_after_s(self, verdict: Verdict, response: Response) -> float:
        if verdict.retry_after_s is not None:
            return clamp_retry_after(verdict.retry_after_s)
        asked = parse_retry_after(response.headers, self._clock.now())
        return RETRY_AFTER_MIN_S if asked is None else asked

    async def _exchange(self, call: OutboundCall, idle_s: float) -> Response:
        client, request = self._build(call, idle_s)
        response = await client.send(request, stream=True)
        try:
            content = await self._read_capped(response)
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        headers.pop("set-cookie", None)
        set_cookies = tuple(response.headers.get_list("set-cookie"))
        return Response(response.status_code, headers, content, set_cookies)

    def _build(
        self, call: OutboundCall, idle_s: float
    ) -> tuple[httpx2.AsyncClient, httpx2.Request]:
        check_url(call.url, call.destination.hosts)
        target = self.routes.target(call.url)
        headers = dict(call.headers)
        if target is not None:
            # The sandbox must see the vendor's own host, as it would behind a TLS proxy.
            headers |= {"host": urlsplit(call.url).netloc, "x-forwarded-proto": "https"}
        client = self._direct if target is None else self._routed
        body: Body = {"json": call.json} if call.json is not None else {}
        if call.form is not None:
            body = {"data": dict(call.form)}
        url = httpx2.URL(target or call.url)
        if call.params:  # without any, a next-page link keeps its query to the byte
            url = url.copy_merge_params(dict(call.params))
        request = client.build_request(
            call.method,
            url,
            headers=headers,
            timeout=httpx2.Timeout(idle_s, connect=min(CONNECT_TIMEOUT_S, idle_s)),
            **body,
        )
        if target is None and request.url.host != urlsplit(call.url).hostname:
            raise AddressRefused("the URL reads as two different hosts")
        return client, request

    async def _read_capped(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self._body_bytes_max:
                raise _BodyTooLarge
        return bytes(content)


class _BodyTooLarge(Exception):
    """The decoded body passed the cap; reading stopped there."""


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a connection pool that dials guarded addresses only."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, limits=_limits())
        # httpx2 offers no way to give its pool a network backend; httpcore2 does.
        if not isinstance(self._pool, httpcore2.AsyncConnectionPool):
            raise TypeError("httpx2 keeps its pool elsewhere: the address guard would be skipped")
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=30.0,
            network_backend=GuardedBackend(resolver),
        )


def _limits() -> httpx2.Limits:
    return httpx2.Limits(
        max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=CONNECTIONS_MAX,
        keepalive_expiry=30.0,
    )


def _client(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncClient:
    # No proxy and no netrc from the environment: both would decide where credentials go. No
    # cookies: one jar would carry a tenant's session into another tenant's call.
    return httpx2.AsyncClient(
        transport=transport,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": AGENT, "accept": "application/json"},
    )


def _timeout(call: OutboundCall, error: Exception) -> ProviderError:
    if isinstance(error, httpx2.ConnectTimeout):
        return ProviderUnreachableError(
            call.destination, f"{call.endpoint} found no connection within {CONNECT_TIMEOUT_S:g} s"
        )
    return ProviderTimeoutError(call.destination, f"{call.endpoint} got no answer in time")
