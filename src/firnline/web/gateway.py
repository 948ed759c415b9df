"""What the web edge needs of the product: the contract between `web/` and the composition root.

The edge turns HTTP into a `GraphRequest` of a verified `Principal` and the `GraphAnswer` back
into HTTP. `Gateway` is implemented by the composition root, the one place that knows every part.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from firnline.access.principal import Principal
from firnline.errors import FirnlineError


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """One GraphQL request, of the right shape and within the size limit, otherwise unchecked.

    At least one of `query` and `document_id` is set. Both are set only when a client sent the text
    along with the SHA-256 of that very text (checked). An Apollo hash arrives as `sha256:<hex>`.
    `queries_only` refuses everything that is not a query: the request came by GET.
    """

    query: str | None = None
    document_id: str | None = None
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    extensions: Mapping[str, Any] | None = None
    queries_only: bool = False
    takes_parts: bool = False  # what `@defer` puts off may follow the answer
    takes_events: bool = False  # a subscription is answered again whenever the answer changes
    known: bytes = b""  # fingerprint of the answer that a subscription has


class Later(Protocol):
    """What follows an answer: whoever receives it takes every part, or closes it."""

    first: Mapping[str, Any]  # beside the answer's own members

    @property
    def offsets(self) -> Mapping[str, int]:
        """Return at which item each list goes on whose end is announced, by the end's id."""
        ...

    async def next(self) -> Mapping[str, Any] | None:
        """Return the next part, None after the last."""
        ...

    def failed(self, error: FirnlineError) -> Mapping[str, Any]:
        """Return the part that ends what is still pending with an error."""
        ...

    async def close(self) -> None:
        """Stop what still runs."""
        ...


class Again(Protocol):
    """Vouches for an answer: the same request of the same person may be answered by it again."""

    def body(self) -> bytes | None:
        """Return the answer's body, which counts as one more answer; None: ask anew."""
        ...


@dataclass(frozen=True, slots=True)
class Live:
    """Of a subscription's answer: what tells it from others, and when to ask again.

    It was made from what was true at `mark`. The next is made no sooner than `rest_s` and no later
    than `renewed_s` after it; none is where `is_last`.
    """

    fingerprint: bytes
    mark: Hashable
    rest_s: float
    renewed_s: float
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class GraphAnswer:
    """A complete GraphQL response as JSON bytes.

    `status` is 200 when there is `data` (even with errors beside it), 4xx or 5xx when the request
    was refused before execution; it is sent to clients that accept the GraphQL media type.
    `has_errors` keeps clients from keeping the answer: its failures may be gone the next time.
    `tagged` is the body without what may differ between equal answers, where that is not the body.
    `again` gives the same body to the same request for as long as that is right. `live` is set of
    subscriptions; the body is empty when the request knows it.
    """

    body: bytes
    status: int = 200
    has_errors: bool = False
    later: Later | None = None
    tagged: bytes | None = None
    again: Again | None = None
    live: Live | None = None


@dataclass(frozen=True, slots=True)
class PersonChoice:
    """A person whom the development sign-in offers; `note` says what they are."""

    email: str
    name: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """An operation that GraphiQL opens in a tab."""

    name: str
    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)


class Gateway(Protocol):
    """Answers GraphQL for principals and tells the edge what there is."""

    async def execute(self, principal: Principal, request: GraphRequest) -> GraphAnswer:
        """Answer `request` as `principal`; raise `FirnlineError` to refuse it with its status."""
        ...

    async def is_subscription(self, principal: Principal, request: GraphRequest) -> bool:
        """Say whether `request` asks to be answered again and again."""
        ...

    async def changed(self, principal: Principal, mark: Hashable) -> None:
        """Return as soon as answers may be other ones than at `mark`."""
        ...

    def tenants(self) -> Sequence[str]:
        """Return the names of the declared tenants, in order."""
        ...

    async def people(self, tenant: str) -> Sequence[PersonChoice]:
        """Return the people whom the tenant's caches know, for the development sign-in."""
        ...

    async def examples(self, tenant: str) -> Sequence[Example]:
        """Return operations worth opening in GraphiQL; the first is shown first."""
        ...

    def figures(self) -> bytes:
        """Return what was asked and how long it took, in Prometheus' text format."""
        ...

    async def ready(self) -> Mapping[str, str]:
        """Return each component with "ok" or the reason why it cannot serve."""
        ...
