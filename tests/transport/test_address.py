"""The address guard lets only a connector's own public https hosts through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from firnline.clock import FixedClock
from firnline.transport import Destination, ForbiddenHostError, OutboundCall, Transport
from firnline.transport.address import AddressRefused, check_url, is_public, origin_of
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
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a00:1]/",
    "https://localhost/",
    "https://acme.zendesk.com@10.0.0.1/",
    "https://user:secret@acme.zendesk.com/",
    "https://acme.zendesk.com:8443/",
    "https://acme.zendesk.com:0/",
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
        "2002:a00:1::",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
    ],
)
def test_address_that_is_not_public_is_recognised(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_address_is_recognised(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["93.184.216.34", "169.254.169.254"], ["::ffff:10.0.0.1"], ["::1"]]
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
