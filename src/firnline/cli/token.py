"""`firnline token`: signs a bearer token with the development key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from firnline.access.principal import TokenVerifier
from firnline.access.signing import TOKEN_LIFETIME_S, DevelopmentSigner
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json
from firnline.clock import SystemClock
from firnline.errors import UnknownTenantError, UsageError
from firnline.settings import read_settings
from firnline.spec.load import load_project


class DevelopmentOnlyError(UsageError):
    """The command exists for development only."""

    code = "development_only"

    def __init__(self) -> None:
        super().__init__(
            "the development key signs nothing outside development",
            hint="Set FIRNLINE_DEVELOPMENT=true here and for `firnline serve`; in production, "
            "sign tokens with a key of FIRNLINE_JWT_KEYS.",
        )


def token(
    tenant: TenantArgument,
    person: Annotated[str, typer.Option("--as", help="E-mail of the person.")] = "",
    lifetime: Annotated[int, typer.Option(help="Seconds for which it is valid.")] = (
        TOKEN_LIFETIME_S
    ),
    agent: Annotated[str, typer.Option(help="Who acts for the person (act.sub).")] = "",
    scope: Annotated[str, typer.Option(help="Words of its scope: read:Account ...")] = "",
    purpose: Annotated[str, typer.Option(help="What the data is read for.")] = "",
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE of the session; repeat a name for several values."),
    ] = None,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Print a bearer token for a person at a tenant, for development."""
    settings = read_settings()
    if not settings.development:
        raise DevelopmentOnlyError
    if not person:
        raise UsageError("nobody is named", hint="Name a person: --as EMAIL.")
    known = load_project(directory).tenants
    if tenant not in known:
        raise UnknownTenantError(tenant, list(known))
    clock = SystemClock()
    more = _claims(agent, scope, purpose, attribute or [])
    text = DevelopmentSigner.from_settings(settings, clock=clock).issue_token(
        tenant, person, lifetime, more=more
    )
    # A token that would be refused is not worth printing.
    principal = TokenVerifier.from_settings(settings, clock=clock).verify(text)
    if as_json:
        print_json({"token": text, "tenant": principal.tenant, "person": principal.email})
    else:
        typer.echo(text)


def _claims(agent: str, scope: str, purpose: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Return the claims that narrow or describe the token."""
    claims: dict[str, Any] = {"scope": scope, "purpose": purpose}
    if agent:
        claims["act"] = {"sub": agent}
    attributes: dict[str, list[str]] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found:
            raise UsageError(f"--attribute {pair!r} has no value", hint="Write NAME=VALUE.")
        attributes.setdefault(name, []).append(value)
    claims["attributes"] = {
        name: values[0] if len(values) == 1 else values for name, values in attributes.items()
    }
    return {name: value for name, value in claims.items() if value}
