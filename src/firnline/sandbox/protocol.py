"""What a provider's sandbox is.

`connectors/<provider>/sandbox.py` exposes `create(company: Company, options: SandboxOptions) ->
Sandbox`. A sandbox speaks the provider's wire protocol for one tenant, enforces that provider's
permissions with its own code, and knows nothing of the connector beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from httpx2 import AsyncClient
from starlette.types import ASGIApp

from firnline.sandbox.world import Company

Visible = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How the provider behaves. Latency is a uniform draw from `latency_ms` for every call.

    `limits` keeps the vendor's documented rate limits; without it only concurrency is limited.
    `now` is the sandbox's idea of the present. `switches` are provider-specific.
    """

    seed: int
    now: datetime
    latency_ms: tuple[int, int] = (0, 0)
    limits: bool = True
    token_lifetime_s: int = 3600
    switches: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxClient:
    """The OAuth client that the sandbox knows: what an admin would paste into Firnline.

    For assertion flows `private_key_pem` is set, with `key_id` or the `username` to act as, and
    `subjects` maps a person's email to what stands for them: the key id of their own mapping (role
    and user), or their user name.
    """

    client_id: str
    client_secret: str = ""
    private_key_pem: str = ""
    key_id: str = ""
    algorithm: str = ""
    username: str = ""
    subjects: Mapping[str, str] = field(default_factory=dict)


class Sandbox(Protocol):
    """One provider's account of one tenant."""

    provider: str
    app: ASGIApp  # the vendor's wire protocol and nothing else
    settings: Mapping[str, str]  # the connection settings a tenant's YAML would give
    base_url: str  # the vendor URL this stands for, such as https://acme.zendesk.com
    client: SandboxClient
    integration_email: str  # the user whose connection syncs

    def token_for(self, email: str) -> str:
        """Return a valid access token of that person, as if they had signed in."""
        ...

    def emails(self) -> Sequence[str]:
        """Return everyone who can sign in to this account."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return the number of live records by object name."""
        ...

    async def read_as(self, http: AsyncClient, email: str) -> Visible:
        """Return what that person's own API calls show: object -> key -> field -> JSON value.

        The independent oracle: asks this sandbox over HTTP with `token_for(email)`, through calls
        that this person may make, never through connector code. `http` is bound to the sandbox's
        loopback address. Object and field names are those of the connector's catalog, values the
        JSON that the wire carried; objects the person may not read are absent. Permission records
        (objects that the catalog does not expose) are left out.
        """
        ...


class ChangeableSandbox(Sandbox, Protocol):
    """A sandbox whose records tests and demonstrations can change, as its users would.

    Each change sets the modification stamp as the vendor does. An object or key that does not
    exist raises LookupError.
    """

    def change(self, object_name: str, key: str, /, **fields: Any) -> None:
        """Set fields of a record."""
        ...

    def delete(self, object_name: str, key: str, /) -> None:
        """Delete a record."""
        ...

    def add(self, object_name: str, /, **fields: Any) -> str:
        """Create a record and return its key."""
        ...

    def revoke(self, email: str, /) -> None:
        """End every token of that person."""
        ...


class SandboxFactory(Protocol):
    """The `create` of a connector's sandbox.py."""

    def __call__(self, company: Company, options: SandboxOptions) -> Sandbox:
        """Build the tenant's account from the company's facts, deterministically by seed."""
        ...
