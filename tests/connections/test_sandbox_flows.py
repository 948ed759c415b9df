"""The flows that a provider offers beside its usual one, against the provider's own sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from firnline.clock import SystemClock
from firnline.connections import Connections, NeedsReconnectError
from firnline.connections.clients import ClientUsernameMissingError
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows.signing import ClientKeyInvalidError
from firnline.connections.refusals import GrantRefusedError
from firnline.connections.site import declared_site
from firnline.connections.tokens import StoredTokens
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.sandbox.signin import connect, credentials
from firnline.settings import Settings
from firnline.spec.model import TenantSpec

NAME = "system"
COMPANY = company("acme", scale=0.01, now=datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
ADMIN, PERSON = "integration@acme.example", "dana.whitfield@acme.example"
BY_JWT = {"jwt_users": [ADMIN, PERSON]}


@dataclass
class World:
    """One provider's running sandbox and the connections that speak to it."""

    sandbox: Any
    connections: Connections
    spec: TenantSpec

    async def connect(self, **how: Any) -> Any:
        """Connect as the integration user, by the flow that the tenant chose."""
        known = {"client": self.sandbox.client, "email": self.sandbox.integration_email, **how}
        return await connect(self.connections, self.spec, NAME, **known)

    async def tokens(self) -> TokenSet:
        """Return what the vault keeps."""
        row = await self.connections.state.connection("acme", NAME)
        assert row is not None
        sealed = await self.connections.vault.unseal(
            row.token_ciphertext or b"", purpose="token", tenant="acme", connection=NAME
        )
        return TokenSet.from_json(sealed)

    async def who(self, person: str = "") -> Any:
        """Ask the provider whose connection it is."""
        channel = await self.connections.channel("acme", self.spec, NAME, person=person)
        return await channel.run(channel.connector.identify(channel.settings))


@pytest.fixture(scope="module")
def rsa_pem() -> str:
    return RSAKey.generate_key(2048).as_pem(private=True).decode()


@asynccontextmanager
async def world(
    provider: str, home: Path, *, auth: str = "", switches: Mapping[str, Any]
) -> AsyncIterator[World]:
    options = SandboxOptions(seed=7, now=COMPANY.now, switches=switches)
    async with running([COMPANY], providers=[provider], options=options) as fleet:
        sandbox: Any = fleet.sandbox(provider, "acme")
        declared = {"provider": provider, "settings": dict(sandbox.settings), "auth": auth}
        spec = TenantSpec.model_validate({"tenant": "acme", "connections": {NAME: declared}})
        settings = Settings(home=home, routes=dict(fleet.routes))
        async with Connections.open(settings, clock=SystemClock()) as connections:
            yield World(sandbox, connections, spec)


@pytest.mark.parametrize("kind", ["production", "sandbox"])
async def test_salesforce_takes_assertions_for_users_that_an_admin_approved(
    tmp_path: Path, kind: str
) -> None:
    """The audience is the login host, which sandboxes have one of their own of."""
    switches = {**BY_JWT, "sandbox_org": kind == "sandbox"}
    async with world("salesforce", tmp_path, auth="jwt_bearer", switches=switches) as org:
        row = await org.connect()
        before = await org.tokens()
        org.sandbox.revoke(ADMIN)

        who = await org.who()

        after = await org.tokens()
        assert (row.state, row.flow) == ("active", "jwt_bearer")
        assert who.user_key == row.user_key == org.sandbox.org.user_ids[ADMIN]
        assert before.refresh_token is after.refresh_token is None
        assert before.access_token != after.access_token
        assert after.base_url == f"https://{org.sandbox.settings['domain']}.my.salesforce.com"


async def test_person_of_salesforce_is_stood_for_by_their_own_user_name(tmp_path: Path) -> None:
    async with world("salesforce", tmp_path, auth="jwt_bearer", switches=BY_JWT) as org:
        await org.connect()
        row = await org.connect(email=PERSON, is_own=True)

        assert (row.person, row.user_key) == (PERSON, org.sandbox.org.user_ids[PERSON])
        assert (await org.who(PERSON)).user_key != (await org.who()).user_key
        with pytest.raises(ClientUsernameMissingError):
            await org.connect(email="nobody@acme.example", is_own=True)


async def test_user_of_salesforce_who_was_not_approved_is_refused(tmp_path: Path) -> None:
    switches = {"jwt_users": [PERSON]}
    async with world("salesforce", tmp_path, auth="jwt_bearer", switches=switches) as org:
        client = replace(org.sandbox.client, username=ADMIN)

        with pytest.raises(GrantRefusedError, match="hasn't approved this consumer"):
            await org.connect(client=client)


async def test_approval_that_an_admin_takes_back_is_noticed(tmp_path: Path) -> None:
    async with world("salesforce", tmp_path, auth="jwt_bearer", switches=BY_JWT) as org:
        await org.connect()
        org.sandbox.assertions.approved.clear()
        org.sandbox.revoke(ADMIN)

        with pytest.raises(NeedsReconnectError):
            await org.who()


async def test_key_that_is_not_the_apps_signs_nothing_that_counts(
    tmp_path: Path, rsa_pem: str
) -> None:
    async with world("salesforce", tmp_path, auth="jwt_bearer", switches=BY_JWT) as org:
        with pytest.raises(GrantRefusedError, match="invalid assertion"):
            await org.connect(client=replace(org.sandbox.client, private_key_pem=rsa_pem))
        with pytest.raises(ClientKeyInvalidError) as invalid:
            await org.connect(client=replace(org.sandbox.client, private_key_pem="canary"))
        with pytest.raises(ClientKeyInvalidError):
            await org.connect(client=replace(org.sandbox.client, algorithm="HS256"))

        assert "canary" not in str(invalid.value.as_dict())


async def test_salesforce_with_rotation_on_is_renewed_again_and_again(tmp_path: Path) -> None:
    async with world("salesforce", tmp_path, switches={"refresh_rotation": True}) as org:
        await org.connect()
        seen = [(await org.tokens()).refresh_token]
        for _ in range(3):
            tokens = await org.tokens()
            site = declared_site(org.spec, NAME)
            credential = StoredTokens(site, org.connections._renewals, clock=SystemClock())
            await credential.renew(tokens.access_token)
            seen.append((await org.tokens()).refresh_token)
            assert (await org.who()).user_key == org.sandbox.org.user_ids[ADMIN]

        assert len({token.get_secret_value() for token in seen if token}) == 4


async def test_salesforce_without_rotation_keeps_its_refresh_token(tmp_path: Path) -> None:
    async with world("salesforce", tmp_path, switches={}) as org:
        row = await org.connect()
        first = await org.tokens()
        site = declared_site(org.spec, NAME)
        second = await org.connections.flows.renew(site, first)

        assert first.refresh_token == second.refresh_token
        assert first.access_token != second.access_token
        assert row.scopes == ("api", "refresh_token", "openid")


async def test_revoked_refresh_token_takes_salesforces_access_tokens_with_it(
    tmp_path: Path,
) -> None:
    async with world("salesforce", tmp_path, switches={}) as org:
        await org.connect()
        site, tokens = declared_site(org.spec, NAME), await org.tokens()

        assert await org.connections.flows.revoke(site, tokens)
        with pytest.raises(NeedsReconnectError):
            await org.who()
        assert await org.connections.flows.revoke(site, tokens)  # it says invalid_token then


@pytest.mark.parametrize("algorithm", ["PS256", "ES256"])
async def test_netsuite_takes_assertions_of_both_kinds_of_keys(
    tmp_path: Path, algorithm: str
) -> None:
    async with world("netsuite", tmp_path, switches={"algorithm": algorithm}) as account:
        row = await account.connect()
        before = await account.tokens()
        account.sandbox.revoke(account.sandbox.integration_email)

        await account.who()

        after = await account.tokens()
        assert (row.state, row.flow) == ("active", "client_assertion")
        assert account.sandbox.client.algorithm == algorithm
        assert after.access_token != before.access_token


async def test_netsuite_takes_no_key_of_the_other_kind(tmp_path: Path, rsa_pem: str) -> None:
    async with world("netsuite", tmp_path, switches={"algorithm": "ES256"}) as account:
        other = replace(account.sandbox.client, private_key_pem=rsa_pem, algorithm="PS256")
        with pytest.raises(GrantRefusedError):
            await account.connect(client=other)
        with pytest.raises(ClientKeyInvalidError):
            await account.connect(client=replace(account.sandbox.client, algorithm="RS256"))


async def test_renewal_needs_the_registered_key(tmp_path: Path) -> None:
    """A client that was registered anew without its key is told as what it is."""
    async with world("netsuite", tmp_path, switches={"algorithm": "ES256"}) as account:
        await account.connect()
        bare = replace(credentials(account.sandbox.client), private_key_pem=None)
        await account.connections.clients.save(
            replace(bare, client_secret=SecretStr("x")),
            provider="netsuite",
            tenant="acme",
            connection=NAME,
        )
        account.sandbox.revoke(account.sandbox.integration_email)

        with pytest.raises(ClientKeyInvalidError):
            await account.who()
