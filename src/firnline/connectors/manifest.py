"""connector.yaml as a frozen model: identity, hosts, auth, limits and capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from firnline.connectors.auth_flows import Auth
from firnline.connectors.limits import Limits


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SettingSpec(_Closed):
    """One value that a tenant's connection gives, such as a subdomain."""

    title: str
    pattern: str
    example: str
    optional: bool = False


class Capabilities(_Closed):
    """What this connector does today, stated honestly."""

    read: bool = True
    incremental: bool = True
    deletes: bool = False
    permissions: bool = False
    write: bool = False
    events: bool = False


class Verification(_Closed):
    """How the provider is asked which single records one person sees."""

    by: tuple[Literal["person", "organisation"], ...] = Field(min_length=1)
    """Whose token may ask: the person's own, or the organisation's about another user."""

    batch_max: int = Field(ge=1)
    """About how many records one request asks at most."""

    objects: tuple[str, ...] = ("*",)
    """Glob patterns of the objects that can be asked about."""

    covers_fields: bool = False
    """Whether a record that is seen is seen whole: nothing else decides about its fields."""

    asks_fields: bool = False
    """Whether the provider is asked which fields of an object the person reads, too."""


class Csrf(_Closed):
    """A token that the provider wants to see before it lets anybody write."""

    path: str = Field(pattern="^/[^/]")
    """What is read to be told the token; holds `{setting}` placeholders."""

    header: str = Field(default="X-CSRF-Token", pattern="^[A-Za-z][A-Za-z0-9-]*$")
    """Asks for a token (`Fetch`), tells it, shows it, and says that it is `Required`."""


class Manifest(_Closed):
    """A connector's declaration.

    URLs hold `{setting}` placeholders filled from the connection's settings. `hosts` are patterns
    that every URL of the connector must match once filled in.
    """

    provider: str
    name: str
    description: str
    category: Literal["crm", "erp", "helpdesk", "marketing", "calls"]
    docs_url: str
    base_url: str
    hosts: tuple[str, ...]
    settings: Mapping[str, SettingSpec] = Field(default_factory=dict)
    auth: tuple[Auth, ...] = Field(min_length=1)
    """The ways to sign in, the usual one first; a connection may choose another by its flow."""

    limits: Limits = Limits()
    capabilities: Capabilities = Capabilities()
    verify: Verification | None = None
    headers: Mapping[str, str] = Field(default_factory=dict)
    csrf: Csrf | None = None

    @field_validator("auth", mode="before")
    @classmethod
    def _as_list(cls, declared: Any) -> Any:
        return [declared] if isinstance(declared, Mapping) else declared

    @field_validator("auth")
    @classmethod
    def _distinct(cls, declared: tuple[Auth, ...]) -> tuple[Auth, ...]:
        if len({auth.flow for auth in declared}) != len(declared):
            raise ValueError("a flow is declared twice")
        return declared

    @property
    def flows(self) -> tuple[str, ...]:
        """The names of the flows that a connection may choose from."""
        return tuple(auth.flow for auth in self.auth)

    def auth_by(self, flow: str = "") -> Auth | None:
        """Return the declaration of a flow; without a name the usual one."""
        return next((auth for auth in self.auth if flow in ("", auth.flow)), None)

    def can_verify(self, name: str) -> bool:
        """Say whether the provider can be asked about records of an object; "": of any at all."""
        if self.verify is None:
            return False
        return not name or any(fnmatchcase(name, each) for each in self.verify.objects)
