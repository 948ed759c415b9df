"""One outbound call, as `Channel` and the token endpoints hand it to `Transport`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlsplit

from firnline.connectors.protocol import Grounds, Response, Verdict
from firnline.connectors.quotas import QuotaReading
from firnline.transport.quota.allowance import UNLIMITED, Allowance

# Says what a refused answer means; None when the answer is not a refusal.
Judge = Callable[[Response], Verdict | None]
# Says what any answer tells about the provider's quota.
Reader = Callable[[Response], Sequence[QuotaReading]]

# The provider's two faces fail apart from each other: its API and its token endpoint.
Target = Literal["api", "token"]

UNAVAILABLE_STATUSES = frozenset({408, 500, 502, 503, 504})


class Use(StrEnum):
    """What a call is made for: whoever waits for it decides what it may take of the quota."""

    INTERACTIVE = "interactive"
    WRITE = "write"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Destination:
    """Whose call it is and where it may go.

    `hosts` are the connector's patterns, filled in: `*` stands for one label, a port other than 443
    must be written. `account` names the provider's account, whose concurrency limit all
    connections to it share; `allowance` is what else limits its calls.
    """

    provider: str
    tenant: str
    connection: str
    hosts: tuple[str, ...]
    account: str
    concurrency_max: int
    allowance: Allowance = field(default=UNLIMITED, repr=False, compare=False)

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


def read_nothing(response: Response) -> Sequence[QuotaReading]:
    """Read no quota, for endpoints that tell nothing of it."""
    return ()


@dataclass(frozen=True, slots=True)
class OutboundCall:
    """A call with its absolute URL at the vendor and its authorisation.

    `repeatable` says that sending it twice changes nothing at the provider: only then is it sent
    again after a failure. At most one of `json`, `form` and `content` is given. `template` is the
    path with placeholders for ids, for messages, records and figures; without one, records derive
    it from the URL. `secrets` are what the call shows that no text may quote, where neither the
    usual headers nor parameters of telling names hold it.
    """

    destination: Destination
    method: str
    url: str = field(repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    repeatable: bool = True
    judge: Judge = field(default=judge_by_status, repr=False)
    use: Use = Use.INTERACTIVE
    target: Target = "api"
    template: str = ""
    quota: Reader = field(default=read_nothing, repr=False)
    secrets: Collection[str] = field(default=(), repr=False)

    @property
    def endpoint(self) -> str:
        """Return method and path, without the query, for messages and logs."""
        return f"{self.method} {self.template or urlsplit(self.url).path or '/'}"
