"""`firnline connect` with each kind of OAuth client: what is registered, kept and refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc.jwk import RSAKey
from tests.connections.served import PROJECT
from typer.testing import CliRunner

from firnline.cli.clients import ClientOptions, ClientOptionsError
from firnline.cli.main import cli
from firnline.clock import SystemClock
from firnline.connections import Connections
from firnline.connections.clients import ClientUsernameMissingError
from firnline.connections.site import Site, declared_site
from firnline.errors import FirnlineError
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.settings import Settings
from firnline.spec.model import TenantSpec

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ADMIN, PERSON = "integration@acme.example", "dana.whitfield@acme.example"


def site(provider: str, auth: str = "", **settings: str) -> Site:
    declared = {"provider": provider, "auth": auth, "settings": settings}
    spec = TenantSpec.model_validate({"tenant": "acme", "connections": {"system": declared}})
    return declared_site(spec, "system")


SALESFORCE = site("salesforce", "jwt_bearer", domain="acme")
NETSUITE = site("netsuite", account="1234567")


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
    return path


async def registered(home: Path, place: Site, *steps: tuple[ClientOptions, str]) -> Any:
    """Return the client as it is stored after the command ran with each of `steps`."""
    async with Connections.open(Settings(home=home), clock=SystemClock()) as connections:
        for options, person in steps:
            options.check(place.name, person)
            await options.register(connections.clients, place, person=person)
        return await connections.clients.find(place)


async def test_jwt_bearer_client_needs_no_key_id_and_keeps_its_user_name(
    tmp_path: Path, pem: Path
) -> None:
    found = await registered(
        tmp_path,
        SALESFORCE,
        (ClientOptions("app", key_file=pem, username="robot@acme"), ""),
        (ClientOptions(username="dana@acme"), "Dana@Acme.example"),
        (ClientOptions("app", key_file=pem), ""),
    )

    assert (found.client_id, found.key_id, found.username) == ("app", "", "robot@acme")
    assert dict(found.subjects) == {"dana@acme.example": "dana@acme"}


async def test_user_name_can_be_changed_without_the_key(tmp_path: Path, pem: Path) -> None:
    found = await registered(
        tmp_path,
        SALESFORCE,
        (ClientOptions("app", key_file=pem, username="robot@acme"), ""),
        (ClientOptions(username="other@acme"), ""),
    )

    assert found.username == "other@acme"
    assert found.private_key_pem is not None


async def test_renewed_key_keeps_who_is_mapped_and_another_client_does_not(
    tmp_path: Path, pem: Path
) -> None:
    steps = (
        (ClientOptions("app", key_file=pem, key_id="k1"), ""),
        (ClientOptions(key_id="k-dana"), PERSON),
        (ClientOptions("app", key_file=pem, key_id="k2"), ""),
    )
    found = await registered(tmp_path, NETSUITE, *steps)
    other = await registered(
        tmp_path, NETSUITE, (ClientOptions("other", key_file=pem, key_id="k3"), "")
    )

    assert (found.key_id, dict(found.subjects)) == ("k2", {PERSON: "k-dana"})
    assert (other.client_id, dict(other.subjects)) == ("other", {})


async def test_options_that_do_not_fit_are_refused_before_anything_is_stored(
    tmp_path: Path, pem: Path
) -> None:
    for place, options in (
        (NETSUITE, ClientOptions("app", key_file=pem)),  # it finds keys by their ids
        (NETSUITE, ClientOptions(key_file=pem, key_id="k")),
        (SALESFORCE, ClientOptions(algorithm="RS256")),
        (SALESFORCE, ClientOptions("app", key_file=tmp_path / "absent.pem")),
    ):
        with pytest.raises(ClientOptionsError):
            await registered(tmp_path / "home", place, (options, ""))


@dataclass
class Org:
    """A Salesforce org that runs in a thread of its own."""

    client: Any
    routes: dict[str, str]


@contextmanager
def org() -> Iterator[Org]:
    loop = asyncio.new_event_loop()
    stop, opened = asyncio.Event(), threading.Event()
    found: list[Org] = []

    async def serve() -> None:
        options = SandboxOptions(seed=7, now=NOW, switches={"jwt_users": [ADMIN, PERSON]})
        companies = [company("acme", scale=0.01, now=NOW)]
        async with running(companies, providers=["salesforce"], options=options) as fleet:
            found.append(Org(fleet.sandbox("salesforce", "acme").client, dict(fleet.routes)))
            opened.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert opened.wait(timeout=30)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def command(*arguments: str) -> Any:
    """Run `firnline connect`; return the connections that it printed."""
    result = CliRunner().invoke(cli, ["connect", *arguments, "--json"])
    if result.exception is not None:
        raise result.exception
    return orjson.loads(result.stdout)["connections"]


TENANT = """\
tenant: acme
connections:
  crm: {provider: salesforce, auth: jwt_bearer, settings: {domain: acme}}
"""


def test_command_connects_salesforce_without_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "firnline.yaml").write_text(PROJECT)
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "acme.yaml").write_text(TENANT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "home"))
    with org() as running_org:
        monkeypatch.setenv("FIRNLINE_ROUTES", orjson.dumps(running_org.routes).decode())
        client = running_org.client
        (tmp_path / "key.pem").write_text(client.private_key_pem)
        register = ["--client-id", client.client_id, "--key-file", "key.pem"]

        with pytest.raises(ClientUsernameMissingError) as missing:
            command("acme", "crm", *register)
        (row,) = command("acme", "crm", "--username", ADMIN)
        own = command("acme", "crm", "--person", PERSON, "--username", PERSON)[-1]
        with pytest.raises(FirnlineError) as refused:
            command("acme", "crm", "--username", "nobody@acme.example")

    assert "--username" in missing.value.hint
    assert (row["state"], row["user_name"]) == ("active", "Firnline Integration")
    assert (own["person"], own["user_name"]) == (PERSON, "Dana Whitfield")
    assert refused.value.code == "grant_refused"
