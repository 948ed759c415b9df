"""`firnline token`: signs a bearer token with the development key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    text = DevelopmentSigner.from_settings(settings, clock=clock).issue_token(
        tenant, person, lifetime
    )
    # A token that would be refused is not worth printing.
    principal = TokenVerifier.from_settings(settings, clock=clock).verify(text)
    if as_json:
        print_json({"token": text, "tenant": principal.tenant, "person": principal.email})
    else:
        typer.echo(text)
