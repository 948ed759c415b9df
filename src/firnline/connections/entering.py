"""What a person enters to connect a system: keys, user names and passwords.

The command line, the pages and the API take it by the fields that the connector's flow declares;
`Connections.connect_with_secrets` receives what is checked here. No message quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import SecretStr

from firnline.connections.endpoint import GrantRefusedError
from firnline.connections.flows.entered import CredentialsRefusedError
from firnline.connections.site import Site
from firnline.connectors.auth_flows import fields_of
from firnline.errors import UsageError

LENGTH_MAX = 4096


class EntryFieldsError(UsageError):
    """What was entered is not what the connector's flow asks for."""

    code = "entry_fields"
    status = 422


def entered_fields(site: Site, entered: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
    """Return what was entered when it is all that is asked for; raises EntryFieldsError."""
    label = site.destination.label
    fields = fields_of(site.auth)
    wanted = ", ".join(f"{field.name} ({field.title})" for field in fields)
    if not fields:
        raise EntryFieldsError(
            f"{label} connects by {site.auth.flow}: nothing is entered for it",
            hint=f"Run: firnline connect {site.tenant} {site.name}",
        )
    if unknown := sorted(set(entered) - {field.name for field in fields}):
        raise EntryFieldsError(
            f"{label} does not ask for {', '.join(unknown)}", hint=f"It asks for {wanted}."
        )
    for field in fields:
        value = entered.get(field.name)
        if value is None or not value.get_secret_value():
            raise EntryFieldsError(
                f"{label}: {field.title} is missing", hint=f"It asks for {wanted}."
            )
        if len(value) > LENGTH_MAX or not re.fullmatch(field.pattern, value.get_secret_value()):
            raise EntryFieldsError(
                f"{label}: {field.title} does not look like one",
                hint="Copy it again, whole and without what stands around it.",
            )
    return dict(entered)


@contextmanager
def tried(site: Site) -> Iterator[None]:
    """Raise CredentialsRefusedError where the provider refuses what a person has just entered."""
    try:
        yield
    except CredentialsRefusedError:
        raise
    except GrantRefusedError:
        raise CredentialsRefusedError(
            site.destination, "the provider does not take what was entered"
        ) from None
