"""One connection's place at its provider: the manifest's URLs filled with the tenant's settings.

Made from the tenant's YAML (or from a stored sign-in); read by the token endpoints and channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from firnline.connectors.auth_flows import Auth
from firnline.connectors.limits import LimitsOverride
from firnline.connectors.manifest import Manifest
from firnline.connectors.protocol import Connector
from firnline.connectors.registry import ConnectorError, load_connector
from firnline.errors import UsageError
from firnline.spec.model import TenantSpec
from firnline.transport import Destination, ForbiddenHostError
from firnline.transport.address import AddressRefused, check_url, origin_of
from firnline.transport.quota.allowance import Allowance

_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class UnknownConnectionError(UsageError):
    """The tenant declares no connection of that name."""

    code = "unknown_connection"
    status = 404

    def __init__(self, tenant: str, name: str, known: list[str]) -> None:
        super().__init__(
            f"tenant {tenant!r} has no connection {name!r}",
            hint=f"Declared connections: {', '.join(sorted(known)) or 'none'}.",
        )


class NoOwnConnectionError(UsageError):
    """The person has not connected that system for themselves."""

    code = "unknown_connection"
    status = 404

    def __init__(self, site: Site) -> None:
        super().__init__(
            f"{site.person} has no {site.name!r} of their own at {site.tenant!r}",
            hint=f"Run: firnline connect {site.tenant} {site.name} --person {site.person}",
        )


class ConnectionSettingsError(UsageError):
    """The tenant's YAML gives a connection settings that its connector cannot use."""

    code = "connection_settings"


class UnknownAuthFlowError(UsageError):
    """The tenant's YAML chooses a way to sign in that the connector does not have."""

    code = "unknown_auth_flow"

    def __init__(self, place: str, flow: str, manifest: Manifest) -> None:
        super().__init__(
            f"{place}: {manifest.name} does not sign in by {flow!r}",
            hint=f"Its flows: {', '.join(manifest.flows)}.",
        )


@dataclass(frozen=True)
class Site:
    """Where one connection of one tenant leads. `base_url` has no trailing slash."""

    tenant: str
    name: str
    connector: Connector
    settings: Mapping[str, str]
    derived: Mapping[str, str]
    base_url: str
    destination: Destination
    auth: Auth  # the chosen way to sign in
    person: str = ""  # whose own connection it is; empty: the organisation's

    @property
    def holder(self) -> str:
        """Return what a stored token is sealed for: the connection, and whose it is."""
        # No connection's name holds a space, so that nobody's token opens as another's.
        return f"{self.name} {self.person}" if self.person else self.name

    def of(self, person: str) -> Site:
        """Return the same place for one person's own connection."""
        address = address_of(person)
        # Whoever has limits of their own at the provider has them here, too.
        user = f"{self.tenant}/{self.name} {address}".rstrip()
        allowance = replace(self.destination.allowance, user=user)
        return replace(
            self, person=address, destination=replace(self.destination, allowance=allowance)
        )

    @property
    def manifest(self) -> Manifest:
        """Return the connector's declaration."""
        return self.connector.manifest

    def checked_base(self, named: str) -> str:
        """Return the base URL at the origin that a token answer named, if it is the provider's.

        Raises ForbiddenHostError: a token must not follow an answer to somebody else's host.
        """
        try:
            check_url(named, self.destination.hosts)
            return origin_of(named) + urlsplit(self.base_url).path
        except AddressRefused as refused:
            raise ForbiddenHostError(
                self.destination, f"the base URL that it named for itself is not used: {refused}"
            ) from None

    def based_at(self, base_url: str) -> Site:
        """Return the same place with the base URL that came with its token; "": as declared."""
        if not base_url or base_url == self.base_url:
            return self
        checked = self.checked_base(base_url)  # the hosts may have changed since it was stored
        account = _account(self.tenant, self.name, self.manifest, checked)
        return replace(
            self, base_url=checked, destination=replace(self.destination, account=account)
        )

    def fill(self, template: str, /, **more: str) -> str:
        """Return a URL or value of the manifest with the settings, and `more`, in it."""
        return _fill(self.connector, template, {**self.derived, **more})


def address_of(person: str) -> str:
    """Return an e-mail address as tokens carry it: only ASCII letters lose their case."""
    return person.strip().translate(_ASCII_LOWER)


def declared_site(tenant_spec: TenantSpec, name: str) -> Site:
    """Return the site of a connection that the tenant's YAML declares.

    Raises UnknownConnectionError, UnknownProviderError, UnknownAuthFlowError or
    ConnectionSettingsError.
    """
    tenant = tenant_spec.tenant
    declared = tenant_spec.connections.get(name)
    if declared is None:
        raise UnknownConnectionError(tenant, name, list(tenant_spec.connections))
    connector = load_connector(declared.provider)
    return site_at(
        tenant, name, connector, declared.settings, flow=declared.auth, limits=declared.limits
    )


def site_at(
    tenant: str,
    name: str,
    connector: Connector,
    settings: Mapping[str, str],
    *,
    flow: str = "",
    limits: LimitsOverride | None = None,
) -> Site:
    """Return the site that `settings` lead to, signed in to by `flow` (or the usual one).

    `limits` are the tenant's own, on top of what the connector declares.

    Raises ConnectionSettingsError or UnknownAuthFlowError.
    """
    manifest = connector.manifest
    _check_settings(tenant, name, manifest, settings)
    auth = manifest.auth_by(flow)
    if auth is None:
        raise UnknownAuthFlowError(f"connection {name!r} of {tenant!r}", flow, manifest)
    derived = connector.derived_settings(settings)
    concurrency_max, budgets = manifest.limits.narrowed(limits)
    base_url = _fill(connector, manifest.base_url, derived).rstrip("/")
    destination = Destination(
        provider=manifest.provider,
        tenant=tenant,
        connection=name,
        hosts=tuple(_fill(connector, host, derived) for host in manifest.hosts),
        account=_account(tenant, name, manifest, base_url),
        concurrency_max=concurrency_max,
        allowance=Allowance(
            budgets=budgets,
            concurrency_per=manifest.limits.concurrency_per,
            user=f"{tenant}/{name}",
            interactive_reserve=limits.interactive_reserve if limits else None,
            sync_daily_max=limits.sync_daily_max if limits else None,
        ),
    )
    return Site(tenant, name, connector, dict(settings), dict(derived), base_url, destination, auth)


def _account(tenant: str, name: str, manifest: Manifest, base_url: str) -> str:
    """Return whose quota it is: two connections to one account draw on the same."""
    account = f"{manifest.provider} {base_url}"
    if "{" in manifest.base_url:
        return account
    # One address for all customers: nobody's calls may count against another's quota.
    return f"{account} {tenant}/{name}"


def _check_settings(
    tenant: str, name: str, manifest: Manifest, settings: Mapping[str, str]
) -> None:
    place = f"connection {name!r} of {tenant!r}"
    wanted = ", ".join(sorted(manifest.settings)) or "none"
    needed = {key for key, setting in manifest.settings.items() if not setting.optional}
    for key in sorted((needed - set(settings)) | (set(settings) - set(manifest.settings))):
        fault = "lacks" if key in manifest.settings else "has the unknown"
        raise ConnectionSettingsError(
            f"{place} {fault} setting {key!r}", hint=f"{manifest.name} takes: {wanted}."
        )
    for key, setting in manifest.settings.items():
        if key not in settings:
            continue
        # The whole value, always: a setting becomes part of the host that tokens are sent to.
        if not re.fullmatch(setting.pattern, settings[key]) or "\n" in settings[key]:
            raise ConnectionSettingsError(
                f"{place}: setting {key!r} is not a {setting.title}",
                hint=f"For example: {setting.example}",
            )


def _fill(connector: Connector, template: str, derived: Mapping[str, str]) -> str:
    try:
        return template.format_map(derived)
    except (KeyError, ValueError, IndexError) as error:
        raise ConnectorError(
            f"{connector.provider}/connector.yaml: {template!r} cannot be filled ({error})"
        ) from error
