"""One outbound call, as `Channel` and the token endpoints hand it to `Transport`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from firnline.connectors.protocol import Grounds, Response, Verdict

# Says what a refused answer means; None when the answer is not a refusal.
Judge = Callable[[Response], Verdict | None]

UNAVAILABLE_STATUSES = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Destination:
    """Whose call it is and where it may go.

    `hosts` are the connector's patterns, filled in: `*` stands for one label, a port other than 443
    must be written. `account` names the provider's account, whose concurrency limit all
    connections to it share.
    """

    provider: str
    tenant: str
    connection: str
    hosts: tuple[str, ...]
    account: str
    concurrency_max: int

    @property
    def label(self) -> str:
        """Return how messages name it."""
        return f"{self.provider} (connection {self.connection!r} of {self.tenant!r})"


def judge_by_status(response: Response) -> Verdict | None:
    """Judge by the status alone, for endpoints that no connector speaks for."""
    if response.status == 429:
        return Verdict(Grounds.RATE_LIMITED)
    if response.status in UNAVAILABLE_STATUSES:
        return Verdict(Grounds.UNAVAILABLE)
    return None


@dataclass(frozen=True, slots=True)
class OutboundCall:
    """A call with its absolute URL at the vendor and its authorisation.

    `repeatable` says that sending it twice changes nothing at the provider: only then is it sent
    again after a failure. At most one of `json` and `form` is given.
    """

    destination: Destination
    method: str
    url: str = field(repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    repeatable: bool = True
    judge: Judge = field(default=judge_by_status, repr=False)

    @property
    def endpoint(self) -> str:
        """Return method and path, without the query, for messages and logs."""
        return f"{self.method} {urlsplit(self.url).path or '/'}"
