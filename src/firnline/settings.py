"""Settings of one installation, from the environment (`FIRNLINE_*`) or a `.env` file.

Nothing here is a tenant's. Secrets are `SecretStr` and never printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from firnline.errors import UsageError

# An https address, or an http one of this machine; without query and fragment.
_WEB_ADDRESS = re.compile(
    r"(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost|\[::1\]))(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9\-._~:/\[\]!$&'()*+,;=%]*)?"
)
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")


class SettingsInvalidError(UsageError):
    """A FIRNLINE_* variable or the .env file holds what cannot be used."""

    code = "settings_invalid"


class IssuerSettings(BaseModel):
    """Somebody whose bearer tokens are accepted: `iss` and `aud` must match exactly.

    Its keys come from one of `jwks_url` (https, read again before it is old), `jwks_file` (read
    again when it changes) and `keys` (a JWK Set). `algorithms` narrows what keys may be used with.
    `tenants` are those that it may speak for, empty: all; where it is one, tokens need not name it.
    `email_claim` empty: `email`, else `sub`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1, max_length=500)
    audience: str = Field(min_length=1, max_length=500)
    jwks_url: str = Field(
        default="", pattern=r"^(https://[^\s/?#@\\]+[^\s#@\\]*)?$", max_length=1000
    )
    jwks_file: Path | None = None
    keys: Mapping[str, Any] | None = None
    algorithms: tuple[Literal["ES256", "RS256", "PS256", "EdDSA", "Ed25519"], ...] = ()
    tenant_claim: str = Field(default="tenant", min_length=1)
    email_claim: str = ""
    tenants: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        given = [bool(self.jwks_url), self.jwks_file is not None, self.keys is not None]
        if sum(given) != 1:
            raise ValueError("an issuer needs exactly one of jwks_url, jwks_file and keys")
        return self


class Settings(BaseSettings):
    """Where things lie and who is trusted.

    `home` holds caches, state and keys. `routes` send a vendor origin to a loopback address
    instead (sandboxes, tests): {"https://acme.zendesk.com": "http://127.0.0.1:9001"}; only loopback
    targets are accepted. `jwt_keys` is a JWK Set of public keys that sign bearer tokens;
    `jwt_issuer` and `jwt_audience` must match exactly. `vault_key` is 32 bytes, base64url, or
    several such keys with commas between them, the newest first: what wraps the keys that encrypt
    tokens at rest; when absent `home/vault.key` is made once, readable by the owner only.
    `metrics_token` opens `/metrics`; without it only this machine may look, in development.
    """

    model_config = SettingsConfigDict(env_prefix="FIRNLINE_", env_file=".env", extra="ignore")

    home: Path = Path(".firnline")
    database_url: SecretStr = SecretStr("")  # empty: SQLite in home; it may hold a password
    vault_key: SecretStr | None = None
    jwt_keys: Mapping[str, Any] = Field(default_factory=dict)
    jwt_issuer: str = "firnline"
    jwt_audience: str = "firnline"
    jwt_issuers: tuple[IssuerSettings, ...] = ()  # more of them, each with keys of its own
    routes: Mapping[str, str] = Field(default_factory=dict)
    development: bool = False  # development sign-in and GraphiQL; never in production
    public_url: str = "http://127.0.0.1:8080"
    request_deadline_s: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    provider_deadline_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    operation_cost_max: int = Field(default=20_000_000, ge=1)  # values of one answer, by estimate
    queries_running_max: int = Field(default=8, ge=1)  # at once, of one tenant
    queries_waiting_max: int = Field(default=128, ge=0)
    subscriptions_max: int = Field(default=200, ge=0)  # open at once, of one tenant; 0: none
    subscriptions_person_max: int = Field(default=20, ge=0)  # of one person
    persisted_only: bool = False  # published operations only, at every tenant
    explain: bool = False  # people may see how their operations are answered; in development always
    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    automatic_persisted_queries: bool = False  # Apollo's clients may register texts by hash
    duckdb_memory: str = Field(default="1GB", pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")
    duckdb_threads: int = Field(default=2, ge=1)
    open_caches_max: int = Field(default=32, ge=1)  # open while unused; the rest open when needed
    open_caches_idle_s: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    response_cache_mb: int = Field(default=64, ge=0)  # answers kept until data changes; 0: none
    warm_tenants_max: int = Field(default=32, ge=0)  # prepared after the start; 0: none
    warm_seconds_max: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    publications_every_s: float = Field(default=5.0, gt=0, allow_inf_nan=False)  # looked for
    audit: Literal["on", "strict", "off"] = "on"  # strict: no answer that is not on record
    audit_waiting_max: int = Field(default=10_000, ge=1)  # entries not yet written
    audit_days: int = Field(default=0, ge=0)  # how long entries are kept; 0: for good
    resident_mb: int = 512  # columns kept in memory, over all tenants
    alerts_url: str = ""  # https address that takes alerts by POST; empty: the log alone has them
    alerts_secret: SecretStr | None = None  # whsec_... of Standard Webhooks: signs them
    quota_interactive_reserve: int = Field(default=20, ge=0, le=90)  # percent kept from syncs
    quota_sync_daily_max: int = Field(default=80, ge=1, le=100)  # percent of a day's calls
    quota_pacing: bool | None = None  # keep declared limits; None: unless routes lead to sandboxes
    return_to: tuple[str, ...] = ()  # where people may be led after connecting; exact addresses
    connect_frame_ancestors: tuple[str, ...] = ()  # origins that may frame the connect pages

    @field_validator("routes")
    @classmethod
    def _only_loopback(cls, routes: Mapping[str, str]) -> Mapping[str, str]:
        for target in routes.values():
            if not target.startswith(("http://127.0.0.1:", "http://[::1]:")):
                raise ValueError("routes may only lead to loopback addresses")
        return routes

    @field_validator("public_url")
    @classmethod
    def _only_an_origin(cls, address: str) -> str:
        # Links and redirect URIs begin with it: a path would not be served, and over http from
        # elsewhere anybody on the way could read them.
        origin = address.removesuffix("/")
        if not (_WEB_ADDRESS.fullmatch(origin) and _ORIGIN.fullmatch(origin)):
            raise ValueError(
                "it is an https origin such as https://firnline.example.com, "
                "or an http one of this machine"
            )
        return origin

    @field_validator("return_to")
    @classmethod
    def _only_plain_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_WEB_ADDRESS.fullmatch(each) for each in addresses):
            raise ValueError("addresses to return to are https ones, without query or fragment")
        return addresses

    @field_validator("connect_frame_ancestors")
    @classmethod
    def _only_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        # Each becomes part of a header: nothing but an origin may stand there.
        if not all(_WEB_ADDRESS.fullmatch(each) and _ORIGIN.fullmatch(each) for each in origins):
            raise ValueError("frame ancestors are origins such as https://app.example.com")
        return origins

    @field_validator("jwt_issuers")
    @classmethod
    def _each_issuer_once(cls, issuers: tuple[IssuerSettings, ...]) -> tuple[IssuerSettings, ...]:
        if len({each.issuer for each in issuers}) < len(issuers):
            raise ValueError("an issuer is listed twice")
        return issuers


def read_settings() -> Settings:
    """Return what the environment and `.env` say; raises SettingsInvalidError.

    The error names the variable and never its value, which may be a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
        variable = f"FIRNLINE_{wrong['loc'][0]}".upper()
        reason = wrong["msg"].removeprefix("Value error, ")
        raise SettingsInvalidError(
            f"{variable} cannot be used: {reason}",
            hint=f"Correct {variable} in the environment or in .env, or remove it.",
        ) from None
    except SettingsError as error:
        raise SettingsInvalidError(
            f"the settings cannot be read: {error}",
            hint="FIRNLINE_ROUTES and FIRNLINE_JWT_KEYS are JSON objects; FIRNLINE_JWT_ISSUERS, "
            "FIRNLINE_RETURN_TO and FIRNLINE_CONNECT_FRAME_ANCESTORS are JSON lists.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalidError(
            f".env cannot be read ({type(error).__name__})",
            hint="Make .env a UTF-8 text that this user may read, or remove it.",
        ) from None
