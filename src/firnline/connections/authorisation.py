"""What a call shows to be let in: headers and cookies, made from what a credential holds.

Takes the connection's way to sign in and the access token that it obtained, whatever that is: a
bearer token, an API key, a user name with its password, the cookies of a session. The channel puts
the result on calls to the connection's own origin and nowhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from firnline.connections.cookies import cookie_line, split_cookie_line
from firnline.connectors.auth_flows import ApiKey, Auth, Basic, Session
from firnline.transport.concealing import Hidden


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Headers and cookies of one connection; no repr shows them. Header names are lower case."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What no text may quote; cookies are known to be secret without being named here."""

    def __hash__(self) -> int:
        return hash((frozenset(self.headers.items()), frozenset(self.cookies.items())))

    def plus(self, more: Authorisation) -> Authorisation:
        """Return both together; what `more` says wins."""
        return Authorisation(
            {**self.headers, **more.headers},
            {**self.cookies, **more.cookies},
            self.secrets + more.secrets,
        )

    def hidden(self) -> Hidden:
        """Return everything that no text may quote."""
        return Hidden((*self.secrets, *self.cookies.values()))

    def as_headers(self) -> dict[str, str]:
        """Return the headers to send, the cookies among them."""
        if not self.cookies:
            return dict(self.headers)
        return {**self.headers, "cookie": cookie_line(self.cookies)}


def authorisation_of(auth: Auth, token: SecretStr) -> Authorisation:
    """Return how a call shows `token` where connections sign in by `auth`."""
    shown = token.get_secret_value()
    if isinstance(auth, Session):
        return Authorisation(cookies=split_cookie_line(shown))
    if isinstance(auth, ApiKey):
        return Authorisation({auth.header.lower(): f"{auth.prefix}{shown}"}, secrets=(shown,))
    if isinstance(auth, Basic):
        password = base64.b64decode(shown).decode().partition(":")[2]
        return Authorisation({"authorization": f"Basic {shown}"}, secrets=(shown, password))
    return Authorisation({"authorization": f"Bearer {shown}"}, secrets=(shown,))


def basic_token(username: SecretStr, password: SecretStr) -> SecretStr:
    """Return a user name and password as RFC 7617 sends them, without the scheme's name."""
    pair = f"{username.get_secret_value()}:{password.get_secret_value()}"
    return SecretStr(base64.b64encode(pair.encode()).decode("ascii"))
