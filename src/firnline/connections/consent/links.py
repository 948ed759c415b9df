"""Connect links: sealed addresses through which an admin, or one person, connects systems.

Takes what a link offers and gives its address; the connect pages exchange it for a session of one
browser. Both are sealed text that nobody else can make or change: nothing has to be looked up to
know what they say. Only who used a link first is stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from firnline.clock import Clock
from firnline.connections.consent.return_to import checked_return
from firnline.connections.site import address_of, declared_site
from firnline.errors import FirnlineError, UsageError
from firnline.spec.model import TenantSpec

LIFETIME = timedelta(hours=1)
LIFETIME_MIN = timedelta(minutes=1)
LIFETIME_MAX = timedelta(days=7)
SESSION_MIN = timedelta(minutes=30)  # whoever opens a link in its last minute can still use it
CONTENT_BYTES_MAX = 2_000  # a session is a cookie, and browsers keep about 4,000 bytes
TOKEN_LENGTH_MAX = 4_000
NONCE_BYTES = 12
_PERSON = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,189}")


class ConnectLinkError(UsageError):
    """A connect link cannot be made like that."""

    code = "connect_link"


class ConnectLinkInvalidError(FirnlineError):
    """A connect link is damaged, of another tenant, or ran out."""

    code = "connect_link_invalid"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "this link does not work any more, or was not copied whole",
            hint="Ask whoever sent it for a new one: links work for a limited time.",
        )


class ConnectLinkUsedError(FirnlineError):
    """A connect link was opened in another browser before."""

    code = "connect_link_used"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "this link was already opened in another browser",
            hint="Go on in the browser where it was opened first, or ask for a new link.",
        )


@dataclass(frozen=True, slots=True)
class ConnectLink:
    """What a link lets its bearer do: connect `connections` (empty: all) of `tenant`.

    With `person` for that person alone. `is_shared`: more than one browser may use it.
    """

    tenant: str
    id: str
    expires_at: datetime
    person: str = ""
    connections: tuple[str, ...] = ()
    return_to: str = ""
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link and its address, which is a secret until it is used."""

    url: str = field(repr=False)
    link: ConnectLink


@dataclass(frozen=True, slots=True)
class ConnectSession:
    """A browser that opened a link. `browser` is known to nobody but that browser's cookie."""

    link: ConnectLink
    browser: str = field(repr=False)
    ends_at: datetime

    @property
    def tenant(self) -> str:
        """Return whose systems it is about."""
        return self.link.tenant

    @property
    def person(self) -> str:
        """Return whose own connections it is about; empty: the organisation's."""
        return self.link.person

    def offers(self, name: str) -> bool:
        """Say whether the link is about this connection."""
        return not self.link.connections or name in self.link.connections


class Claims(Protocol):
    """Remembers which browser used a link first."""

    async def claim(
        self, tenant: str, link: str, browser: str, *, expires_at: datetime, now: datetime
    ) -> bool:
        """Say whether the link is this browser's: nobody's before, or its own already."""
        ...


class ConnectLinks:
    """Makes and opens the links of one installation."""

    def __init__(
        self,
        key: bytes,
        *,
        claims: Claims,
        clock: Clock,
        public_url: str,
        return_to: Sequence[str] = (),
    ) -> None:
        """Take a key of 32 bytes; `return_to` are the addresses that links may lead back to."""
        self._cipher = AESGCM(_subkey(key, b"seal"))
        self._ticket_key = _subkey(key, b"ticket")
        self._claims = claims
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._return_to = tuple(return_to)

    def make(
        self,
        tenant_spec: TenantSpec,
        *,
        person: str = "",
        connections: Sequence[str] = (),
        lifetime: timedelta = LIFETIME,
        return_to: str = "",
        is_shared: bool = False,
    ) -> MadeLink:
        """Return a new link.

        Raises ConnectLinkError, UnknownConnectionError or ReturnToRefusedError.
        """
        if not LIFETIME_MIN <= lifetime <= LIFETIME_MAX:
            raise ConnectLinkError(
                "a connect link cannot live that long, or that short",
                hint="Choose between a minute and seven days.",
            )
        link = ConnectLink(
            tenant=tenant_spec.tenant,
            id=secrets.token_urlsafe(16),
            expires_at=(self._clock.now() + lifetime).replace(microsecond=0),
            person=_checked_person(person),
            connections=_checked_connections(tenant_spec, connections, is_personal=bool(person)),
            return_to=checked_return(return_to, self._return_to) if return_to else "",
            is_shared=is_shared,
        )
        content = _content(link)
        if len(orjson.dumps(content)) > CONTENT_BYTES_MAX:
            raise ConnectLinkError(
                "the link would be too long",
                hint="Name fewer connections, or a shorter address to return to.",
            )
        token = self._seal(content, "link", link.tenant)
        return MadeLink(f"{self._public_url}/connect/{link.tenant}?link={token}", link)

    async def enter(
        self, token: str, tenant: str, *, session: ConnectSession | None = None
    ) -> ConnectSession:
        """Return a session for the browser that brings a link.

        `session` is the one that this browser has: opened again in it, a link gives the same
        session. Raises ConnectLinkInvalidError or ConnectLinkUsedError.
        """
        now = self._clock.now()
        content = self._open(token, "link", tenant)
        link = None if content is None else _link(content)
        if link is None or link.tenant != tenant or link.expires_at <= now:
            raise ConnectLinkInvalidError
        # Never the id of another link's session: whoever planted that one would know it.
        is_known = session is not None and session.link.id == link.id
        browser = session.browser if session and is_known else secrets.token_urlsafe(32)
        if not link.is_shared and not await self._claims.claim(
            tenant, digest_of(link.id), digest_of(browser), expires_at=link.expires_at, now=now
        ):
            raise ConnectLinkUsedError
        return ConnectSession(link, browser, max(link.expires_at, now + SESSION_MIN))

    def cookie(self, session: ConnectSession) -> str:
        """Return a session as text for its browser."""
        content = {
            **_content(session.link),
            "browser": session.browser,
            "ends": int(session.ends_at.timestamp()),
        }
        return self._seal(content, "session", session.tenant)

    def session(self, cookie: str, tenant: str) -> ConnectSession | None:
        """Return the session that `cookie` made, None where it is not one or ended."""
        content = self._open(cookie, "session", tenant)
        if content is None:
            return None
        ends_at = datetime.fromtimestamp(content["ends"], UTC)
        link = _link(content)
        if link.tenant != tenant or ends_at <= self._clock.now():
            return None
        return ConnectSession(link, content["browser"], ends_at)

    def ticket(self, session: ConnectSession, *about: str) -> str:
        """Return what proves that a form, or an address, was given to this very session."""
        told = orjson.dumps([session.tenant, session.browser, *about])
        return _text(hmac.digest(self._ticket_key, told, "sha256"))

    def is_ticket(self, ticket: str, session: ConnectSession, *about: str) -> bool:
        """Say whether `ticket` was given to the session for just this."""
        return hmac.compare_digest(ticket.encode(), self.ticket(session, *about).encode())

    def _seal(self, content: Mapping[str, Any], audience: str, tenant: str) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, orjson.dumps(content), _bound(audience, tenant))
        return _text(nonce + sealed)

    def _open(self, token: str, audience: str, tenant: str) -> dict[str, Any] | None:
        if len(token) > TOKEN_LENGTH_MAX:
            return None
        try:
            sealed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            nonce, sealed = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            plain = self._cipher.decrypt(nonce, sealed, _bound(audience, tenant))
        except (binascii.Error, ValueError, InvalidTag):
            return None
        content: dict[str, Any] = orjson.loads(plain)  # nobody else can have written it
        return content


def digest_of(secret: str) -> str:
    """Return what may be stored of an id that only its bearer should know."""
    return hashlib.sha256(secret.encode()).hexdigest()


def signs_in_people(tenant_spec: TenantSpec, name: str) -> bool:
    """Say whether a person can connect this system for themselves: by signing in to it."""
    return declared_site(tenant_spec, name).auth.flow == "authorization_code"


def _checked_person(person: str) -> str:
    address = address_of(person)
    if address and not _PERSON.fullmatch(address):
        raise ConnectLinkError(
            "a personal link is for an e-mail address", hint="Write it as ann@example.com."
        )
    return address


def _checked_connections(
    tenant_spec: TenantSpec, names: Sequence[str], *, is_personal: bool
) -> tuple[str, ...]:
    for name in names:
        site = declared_site(tenant_spec, name)
        if is_personal and not signs_in_people(tenant_spec, name):
            raise ConnectLinkError(
                f"{site.manifest.name} is not signed in to by single people",
                hint="Leave it out of the personal link.",
            )
    return tuple(dict.fromkeys(names))


def _content(link: ConnectLink) -> dict[str, Any]:
    return {
        "tenant": link.tenant,
        "id": link.id,
        "until": int(link.expires_at.timestamp()),
        "person": link.person,
        "connections": list(link.connections),
        "return_to": link.return_to,
        "shared": link.is_shared,
    }


def _link(content: Mapping[str, Any]) -> ConnectLink:
    return ConnectLink(
        tenant=content["tenant"],
        id=content["id"],
        expires_at=datetime.fromtimestamp(content["until"], UTC),
        person=content["person"],
        connections=tuple(content["connections"]),
        return_to=content["return_to"],
        is_shared=content["shared"],
    )


def _bound(audience: str, tenant: str) -> bytes:
    return orjson.dumps(["firnline connect 1", audience, tenant])


def _subkey(key: bytes, use: bytes) -> bytes:
    return hmac.digest(key, b"firnline connect 1 " + use, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
