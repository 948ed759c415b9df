"""The address guard: which URLs and which network addresses may be called at all.

`check_url` judges the text of a URL before anything is sent; `GuardedBackend` resolves the name,
judges every address and connects to the very address it judged, so that a name that resolves
differently a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore2

HTTPS_PORT = 443
ADDRESSES_MAX = 8
CONNECT_MAX_S = 30.0  # where nobody says how long

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNICAST6 = IPv6Network("2000::/3")  # all that is given out of IPv6; the rest is for special use
# Networks that stand for IPv4 ones, the address in their last 32 bits (RFC 6052, 2765, 4291).
_WRAPS4 = tuple(map(IPv6Network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
# Special ones that the standard library calls global: IPv4 relays, and documentation.
_NOT_PUBLIC = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)


class AddressRefused(Exception):
    """A URL or address that may not be called; the text says why and is safe to show."""


def origin_of(url: str) -> str:
    """Return scheme, host and port of `url`, lower case, without a default port.

    Raises AddressRefused for a URL that has no plain origin, such as one with a user name in it.
    """
    parts, port = _split(url)
    suffix = "" if port == _default_port(parts.scheme) else f":{port}"
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{suffix}"


def port_of(url: str) -> int:
    """Return the port of `url`, its scheme's own where none is written; raises AddressRefused."""
    return _split(url)[1]


def check_url(url: str, hosts: Sequence[str]) -> None:
    """Raise AddressRefused unless `url` is https and its host matches one of `hosts`."""
    parts, port = _split(url)
    if parts.scheme != "https":
        raise AddressRefused("only https is allowed")
    host = parts.hostname or ""
    if _is_address(host):
        raise AddressRefused("an address in numbers is not allowed; a host name is needed")
    labels = host.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused("the host is not a plain full host name")
    if not any(_matches(host, port, pattern) for pattern in hosts):
        raise AddressRefused(f"host {host!r} is none of the connector's")


def _split(url: str) -> tuple[SplitResult, int]:
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise AddressRefused("the URL holds characters that no URL may hold")
    try:
        parts = urlsplit(url)
        port = _default_port(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        raise AddressRefused("the URL cannot be read") from None
    if "@" in parts.netloc:
        raise AddressRefused("a user name in a URL is not allowed")
    if not parts.hostname:
        raise AddressRefused("the URL names no host")
    return parts, port


def _default_port(scheme: str) -> int:
    return 80 if scheme == "http" else HTTPS_PORT


def _is_address(host: str) -> bool:
    # As browsers and libc read it: 2852039166, 0x7f.1 and 127.1 are addresses too.
    return ":" in host or _NUMERIC_LABEL.fullmatch(host.rstrip(".").rsplit(".", 1)[-1]) is not None


def _matches(host: str, port: int, pattern: str) -> bool:
    name, _, wanted_port = pattern.lower().partition(":")
    if port != int(wanted_port or HTTPS_PORT):
        return False
    wanted = name.split(".")
    labels = host.split(".")
    return len(wanted) == len(labels) and all(
        want in ("*", label) for want, label in zip(wanted, labels, strict=True)
    )


def is_public(text: str) -> bool:
    """Say whether an IP address is one of the public internet, also when wrapped in another."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        wrapped = _wrapped_ipv4(address)
        if wrapped is not None:
            return is_public(str(wrapped))
        if address not in _UNICAST6:
            return False
    if any(address.version == each.version and address in each for each in _NOT_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _wrapped_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    is_isatap = int(address) >> 32 & 0xFFFFFFFF in _ISATAP
    if is_isatap or any(address in each for each in _WRAPS4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only; TLS still checks the host's name, not the address."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve `host`, refuse it when any address is not public, connect to one of them.

        `timeout` is for all of it: each address gets an equal part of what the others left.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + (CONNECT_MAX_S if timeout is None else timeout)
        failure: Exception = httpcore2.ConnectError("the name has no address")
        addresses = await self._public_addresses(host, port, ends_at)
        for number, address in enumerate(addresses):
            share_s = (ends_at - loop.time()) / (len(addresses) - number)
            try:
                return await self._network.connect_tcp(
                    address, port, max(0.0, share_s), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _public_addresses(self, host: str, port: int, ends_at: float) -> Sequence[str]:
        try:
            async with asyncio.timeout_at(ends_at):
                addresses = await self._resolver(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("the name is not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("the name cannot be resolved") from error
        if not all(is_public(address) for address in addresses):
            raise AddressRefused(f"host {host!r} leads to an address that is not public")
        return addresses[:ADDRESSES_MAX]

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore2's
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: no provider is a local socket."""
        raise AddressRefused("local sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        """Wait; httpcore2 asks for it between its own attempts, which are switched off."""
        await asyncio.sleep(seconds)
