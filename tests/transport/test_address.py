"""The address guard lets only a connector's own public https hosts through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpcore2
import pytest

from firnline.clock import FixedClock
from firnline.transport import Destination, ForbiddenHostError, OutboundCall, Transport
from firnline.transport.address import (
    ADDRESSES_MAX,
    AddressRefused,
    GuardedBackend,
    check_url,
    is_public,
    origin_of,
)
from firnline.transport.routes import RouteInvalidError, Routes

HOSTS = ("acme.zendesk.com", "*.salesforce.com", "sap.example.com:8443")

REFUSED = [
    "http://acme.zendesk.com/",
    "ftp://acme.zendesk.com/",
    "https://169.254.169.254/latest/meta-data",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0X7F000001/",
    "https://017700000001/",
    "https://127.0.0.1./",
    "https://10.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://100.64.0.1/",
    "https://１２７.０.０.１/",  # full-width digits
    "https://127。0。0。1/",  # ideographic full stops
    "https://①②⑦.0.0.1/",
    "https://[::]/",
    "https://[0:0:0:0:0:ffff:10.0.0.1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[2002:a00:1::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[v1.x]/",
    "https://[acme.zendesk.com]/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a00:1]/",
    "https://localhost/",
    "https://acme.zendesk.com@10.0.0.1/",
    "https://user:secret@acme.zendesk.com/",
    "https://acme.zendesk.com:8443/",
    "https://acme.zendesk.com:0/",
    "https://acme.zendesk.com:80/",
    "https://acme.zendesk.com:+443/",
    "https://acme.zendesk.com:4_43/",
    "https://acme.zendesk.com:٤٤٣/",
    "https://acme.zendesk.com:65979/",  # 443 in sixteen bits
    "https://acme.zendesk.com:443:443/",
    "https://acme.zendesk.com:443@10.0.0.1/",
    "https://acme.zendesk.com%40evil.com/",
    "https://acme.zendesk.com&@evil.com/",
    "https://acme.zendesk.com;evil.com/",
    "https://@acme.zendesk.com/",
    "https://:@acme.zendesk.com/",
    "https://acme.zendesk.com?@evil.com/\t",
    "https:acme.zendesk.com/",
    "https:/acme.zendesk.com/",
    "https:///acme.zendesk.com/",
    "HTTP://acme.zendesk.com/",
    "javascript:https://acme.zendesk.com/",
    "https://acme.zendesk.com\u2028.evil.com/",
    "https://acme.zendesk.com\u200b/",
    "https://acme.zendesk.com\u00ad/",
    "https://acme\uff0ezendesk.com/",
    "https://acme.zendeѕk.com/",  # a Cyrillic letter
    "https://xn--cme-6cd.zendesk.com/",  # the same as it is sent
    "https://acme.xn--zendek-oti.com/",
    "https://na1.salesforce.com.evil.com/",
    "https://na1.salesforce.comevil/",
    "https://-.salesforce.com/",
    "https://na1-.salesforce.com/",
    "https://" + "a" * 64 + ".salesforce.com/",
    "https://*.salesforce.com/",
    "https://sap.example.com/",
    "https://acme.zendesk.com./",
    "https://acme.zendesk.com.evil.com/",
    "https://evil.com/acme.zendesk.com",
    "https://evil.com\\@acme.zendesk.com/",
    "https://evil.com#@acme.zendesk.com/",
    "https://acme.zendesk.com%2eevil.com/",
    "https://acme%2ezendesk.com/",
    "https://аcme.zendesk.com/",  # a Cyrillic letter
    "https://salesforce.com/",
    "https://a.b.salesforce.com/",
    "https://.salesforce.com/",
    "https://acme.zendesk.com\r\nHost: evil.com/",
    "https://acme.zendesk.com:port/",
    "https:///path",
    "//acme.zendesk.com/",
    "/path",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_url_outside_the_connectors_hosts_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.zendesk.com/api/v2/users.json?page=2",
        "https://ACME.zendesk.com:443",
        "https://na1.salesforce.com/services",
        "https://sap.example.com:8443/odata",
    ],
)
def test_url_of_the_connectors_hosts_passes(url: str) -> None:
    check_url(url, HOSTS)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.255",
        "0.1.2.3",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "203.0.113.9",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::a00:1",
        "::ffff:0:10.0.0.1",
        "::ffff:100.64.0.1",
        "2002:a00:1::",
        "2002:7f00:1::",
        "2001:0:a00:1::f5ff:fffe",
        "2001:4860:0:1:0:5efe:10.0.0.1",
        "2001:4860:0:1:200:5efe:192.168.0.1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "5f00::1",
        "fec0::1",
        "4000::1",
        "ff0e::1",
        "::1%1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
    ],
)
def test_address_that_is_not_public_is_recognised(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.1",
        "2606:2800:220:1::1",
        "::ffff:93.184.216.34",
        "64:ff9b::93.184.216.34",
    ],
)
def test_public_address_is_recognised(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["93.184.216.34", "169.254.169.254"],
        ["93.184.216.34"] * 20 + ["127.0.0.1"],
        ["::ffff:10.0.0.1"],
        ["::1"],
        ["fe80::1%eth0"],
        ["0.0.0.0"],
        ["100.64.0.1"],
    ],
)
async def test_allowed_name_that_leads_inside_is_never_connected(addresses: list[str]) -> None:
    """A public name in the attacker's hands resolves to our own network."""

    async def resolver(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("acme.zendesk.com", 443)
        return addresses

    destination = Destination("zendesk", "acme", "desk", HOSTS, "account", 5)
    call = OutboundCall(destination, "GET", "https://acme.zendesk.com/api")
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with Transport(routes={}, clock=clock, resolver=resolver) as transport:
        with pytest.raises(ForbiddenHostError, match="not public"):
            await transport.send(call, deadline_s=5)


async def test_name_that_resolves_to_another_address_a_moment_later_gains_nothing() -> None:
    """DNS rebinding: what was judged is what is dialled, and each new connection judges anew."""
    dialled: list[str] = []
    answers = [["93.184.216.34"], ["127.0.0.1"]]

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    class Network(httpcore2.AnyIOBackend):
        async def connect_tcp(self, host: str, *_more: Any, **_options: Any) -> Any:
            dialled.append(host)
            raise httpcore2.ConnectError("not in a test")

    backend = GuardedBackend(resolver)
    backend._network = Network()
    with pytest.raises(httpcore2.ConnectError):
        await backend.connect_tcp("acme.zendesk.com", 443, timeout=1)
    with pytest.raises(AddressRefused):
        await backend.connect_tcp("acme.zendesk.com", 443, timeout=1)

    assert dialled == ["93.184.216.34"]


async def test_connecting_takes_no_longer_than_its_timeout_over_all_addresses() -> None:
    tried: list[float] = []

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return [f"93.184.216.{number}" for number in range(1, 20)]

    class Silent(httpcore2.AnyIOBackend):
        async def connect_tcp(
            self,
            _host: str,
            _port: int,
            timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore2's
            *_more: Any,
            **_options: Any,
        ) -> Any:
            assert timeout is not None
            tried.append(timeout)
            await asyncio.sleep(timeout)
            raise httpcore2.ConnectTimeout("silent")

    backend = GuardedBackend(resolver)
    backend._network = Silent()
    with pytest.raises(httpcore2.ConnectTimeout):
        await backend.connect_tcp("acme.zendesk.com", 443, timeout=0.4)

    assert len(tried) == ADDRESSES_MAX
    assert 0 < sum(tried) < 0.401


async def test_local_sockets_are_refused() -> None:
    async def resolver(_host: str, _port: int) -> Sequence[str]:
        raise AssertionError("no name to look up")

    with pytest.raises(AddressRefused):
        await GuardedBackend(resolver).connect_unix_socket("/run/secrets.sock")


async def test_overlong_url_is_a_typed_refusal() -> None:
    destination = Destination("zendesk", "acme", "desk", HOSTS, "account", 5)
    call = OutboundCall(destination, "GET", "https://acme.zendesk.com/" + "a" * 70_000)
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with Transport(routes={}, clock=clock) as transport:
        with pytest.raises(ForbiddenHostError):
            await transport.send(call, deadline_s=5)


def test_origin_is_lower_case_without_a_default_port() -> None:
    assert origin_of("https://Acme.Zendesk.com:443/a?b#c") == "https://acme.zendesk.com"
    assert origin_of("http://127.0.0.1:9001/a") == "http://127.0.0.1:9001"
    assert origin_of("https://[::1]:8443/") == "https://[::1]:8443"


def test_route_replaces_the_origin_and_keeps_path_and_query() -> None:
    routes = Routes({"https://acme.zendesk.com": "http://127.0.0.1:9001/"})

    assert routes.target("https://ACME.zendesk.com:443/a/b?c=%20d&e=f") == (
        "http://127.0.0.1:9001/a/b?c=%20d&e=f"
    )
    assert routes.target("https://globex.zendesk.com/a") is None
    assert routes.reachable("https://globex.zendesk.com/a") == "https://globex.zendesk.com/a"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:80@evil.com",
        "http://evil.com:9001",
        "https://127.0.0.1:9001",
        "http://127.0.0.1:9001/path",
        "http://10.0.0.1:9001",
        "http://localhost:9001",
    ],
)
def test_route_that_leads_off_loopback_is_refused(target: str) -> None:
    with pytest.raises(RouteInvalidError):
        Routes({"https://acme.zendesk.com": target})
