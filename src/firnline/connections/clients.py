"""OAuth clients: what an admin registered at a provider for Firnline to connect with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.sealing.vault import Vault
from firnline.connections.site import Site, address_of
from firnline.errors import FirnlineError
from firnline.state import ClientRow, State

ANY = "*"


class ClientMissingError(FirnlineError):
    """No OAuth client is registered that this connection could use."""

    code = "client_missing"
    exit_code = 2

    def __init__(self, site: Site) -> None:
        super().__init__(
            f"{site.destination.label}: no OAuth client is registered",
            hint=f"Run: firnline connect {site.tenant} {site.name} --client-id ID, with "
            "--client-secret-file or --key-file as the provider asks.",
        )


class ClientUsernameMissingError(FirnlineError):
    """The OAuth client's registration does not say which user to act as."""

    code = "client_username_missing"
    exit_code = 2

    def __init__(self, site: Site) -> None:
        whose = f" --person {site.person}" if site.person else ""
        super().__init__(
            f"{site.destination.label}: no user name is registered to act as",
            hint=f"Run: firnline connect {site.tenant} {site.name}{whose} --username NAME",
        )


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """One OAuth client. Code flows may have a secret; assertion flows have a key.

    `username` is the user at the provider that a JWT bearer client acts as. `subjects` maps a
    person's email to what stands for them there: the id of their key, or their user name.
    """

    client_id: str
    client_secret: SecretStr | None = None
    private_key_pem: SecretStr | None = None
    key_id: str = ""
    algorithm: str = ""
    username: str = ""
    subjects: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, str]:
        """Return how the client names itself in the parameters of a request."""
        named = {"client_id": self.client_id}
        if self.client_secret is not None:
            named["client_secret"] = self.client_secret.get_secret_value()
        return named


class ClientRegistry:
    """Stores OAuth clients encrypted, for a connection, a tenant or everyone."""

    def __init__(self, *, state: State, vault: Vault, clock: Clock) -> None:
        self._state = state
        self._vault = vault
        self._clock = clock

    async def save(
        self,
        credentials: ClientCredentials,
        *,
        provider: str,
        tenant: str = ANY,
        connection: str = ANY,
    ) -> None:
        """Register a client; without `tenant` or `connection` it serves all of them."""
        ciphertext = await self._vault.seal(
            _as_json(credentials),
            purpose="client",
            tenant=tenant,
            connection=f"{provider} {connection}",
        )
        await self._state.save_client(
            ClientRow(tenant, provider, connection, self._clock.now(), ciphertext)
        )

    async def map_person(self, site: Site, person: str, subject: str) -> None:
        """Register the key id or user name that stands for a person; raises ClientMissingError."""
        client = await self.find(site)
        subjects = {**client.subjects, address_of(person): subject}
        await self.save(
            replace(client, subjects=subjects),
            provider=site.connector.provider,
            tenant=site.tenant,
            connection=site.name,
        )

    async def find(self, site: Site) -> ClientCredentials:
        """Return the client for a connection, the most particular one; or ClientMissingError."""
        provider = site.connector.provider
        for tenant, connection in ((site.tenant, site.name), (site.tenant, ANY), (ANY, ANY)):
            row = await self._state.client(tenant, provider, connection)
            if row is not None:
                return await self._open(row)
        raise ClientMissingError(site)

    async def find_own(self, site: Site) -> ClientCredentials | None:
        """Return the client that was registered for this very connection, if one was."""
        row = await self._state.client(site.tenant, site.connector.provider, site.name)
        return None if row is None else await self._open(row)

    async def _open(self, row: ClientRow) -> ClientCredentials:
        stored = await self._vault.unseal(
            row.ciphertext,
            purpose="client",
            tenant=row.tenant,
            connection=f"{row.provider} {row.connection}",
        )
        return ClientCredentials(
            client_id=stored["client_id"],
            client_secret=_secret(stored["client_secret"]),
            private_key_pem=_secret(stored["private_key_pem"]),
            key_id=stored["key_id"],
            algorithm=stored["algorithm"],
            username=stored.get("username", ""),
            subjects=stored["subjects"],
        )


def _as_json(credentials: ClientCredentials) -> dict[str, Any]:
    return {
        "client_id": credentials.client_id,
        "client_secret": _plain(credentials.client_secret),
        "private_key_pem": _plain(credentials.private_key_pem),
        "key_id": credentials.key_id,
        "algorithm": credentials.algorithm,
        "username": credentials.username,
        "subjects": dict(credentials.subjects),
    }


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _secret(text: str | None) -> SecretStr | None:
    return None if text is None else SecretStr(text)
