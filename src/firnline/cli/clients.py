"""What `firnline connect` registers at the start: the OAuth client that a connection uses.

Takes options and files; the client registry receives them, sealed. Which of them fit is the
connection's flow to say.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from firnline.cli.files import unreadable
from firnline.connections import ClientCredentials, ClientRegistry
from firnline.connections.site import Site
from firnline.connectors.auth_flows import JwtBearer, fields_of
from firnline.errors import UsageError


class ClientOptionsError(UsageError):
    """The options that describe an OAuth client do not fit together."""

    code = "client_options"


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """The client's options as they were given; `key_id` and `username` may be a person's."""

    client_id: str = ""
    secret_file: Path | None = None
    key_file: Path | None = None
    key_id: str = ""
    algorithm: str = ""
    username: str = ""

    def check(self, connection: str, person: str) -> None:
        """Raise ClientOptionsError for what fits no flow at all."""
        if self.client_id and not connection:
            raise ClientOptionsError(
                "an OAuth client belongs to one connection", hint="Name the connection."
            )
        key_id = "" if person else self.key_id  # a person's may go with a client known before
        if not self.client_id and (self.secret_file or self.key_file or key_id or self.algorithm):
            raise ClientOptionsError(
                "a secret or key was given without its client", hint="Add --client-id ID."
            )

    async def register(self, clients: ClientRegistry, site: Site, *, person: str = "") -> None:
        """Store the client for a connection, and who stands for a person; at least what is given.

        Raises ClientOptionsError or ClientMissingError.
        """
        if self.client_id and fields_of(site.auth):
            raise ClientOptionsError(
                f"{site.destination.label} connects by {site.auth.flow}: it has no OAuth client",
                hint="Leave --client-id away, or choose another `auth` in the tenant's YAML.",
            )
        if self.client_id:
            known = await clients.find_own(site)
            is_same = known is not None and known.client_id == self.client_id
            await _save(clients, site, self._credentials(site, person, known if is_same else None))
        username = self.username if isinstance(site.auth, JwtBearer) else ""
        subject = username or ("" if self.client_id else self.key_id)
        if person and subject:
            await clients.map_person(site, person, subject)
        elif username and not self.client_id:
            await _save(clients, site, replace(await clients.find(site), username=username))

    def _credentials(
        self, site: Site, person: str, known: ClientCredentials | None
    ) -> ClientCredentials:
        """Return the client as given; whom it stands for stays, when it is `known` already."""
        is_jwt_bearer = isinstance(site.auth, JwtBearer)
        if self.key_file is not None and not self.key_id and not is_jwt_bearer:
            raise ClientOptionsError("a key was given without its id", hint="Add --key-id ID.")
        username = self.username if is_jwt_bearer and not person else ""
        return ClientCredentials(
            client_id=self.client_id,
            client_secret=_secret(self.secret_file),
            private_key_pem=_secret(self.key_file),
            key_id=self.key_id,
            algorithm=self.algorithm,
            username=username or (known.username if known else ""),
            subjects=known.subjects if known else {},
        )


async def _save(clients: ClientRegistry, site: Site, credentials: ClientCredentials) -> None:
    provider = site.connector.provider
    await clients.save(credentials, provider=provider, tenant=site.tenant, connection=site.name)


def _secret(path: Path | None) -> SecretStr | None:
    if path is None:
        return None
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClientOptionsError(
            f"{path} cannot be read: {unreadable(error)}", hint="Give a text file."
        ) from None
    if not text.strip():
        raise ClientOptionsError(f"{path} is empty", hint="Give the file that holds the secret.")
    return SecretStr(text.strip())
