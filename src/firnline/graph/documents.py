"""Which document a request runs: a published one, a registered one, or the text it carries.

Takes the tenant and what the request names; the gateway receives the text, or the refusal in the
form that the client's dialect expects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from firnline.clock import Clock
from firnline.errors import FirnlineError, UsageError
from firnline.graph.operations import UnknownOperationError
from firnline.recent import Recent
from firnline.state.rows import OperationRow

_DIGEST_PREFIX = "sha256:"
PUBLISHED_AGE_S = 1.0  # another process may publish or retire: looked for this often
_LOOKED_UP_MAX = 4096
REGISTERED_MAX = 500
REGISTERED_BYTES_MAX = 4 * 1024 * 1024
_REGISTERED_LEAST = REGISTERED_BYTES_MAX // REGISTERED_MAX  # a short text counts as this long


class PersistedOnlyError(FirnlineError):
    """The tenant runs published operations only, and the request carries a text of its own."""

    code = "persisted_only"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "only published operations run here, and this document is not asked by its id",
            hint="Publish it with `firnline operations publish`, then send its documentId.",
        )


class PersistedQueryNotFoundError(FirnlineError):
    """The hash names nothing yet: Apollo's clients send the text along and it is registered."""

    # Message, code and status are those that Apollo's clients look for.
    code = "PERSISTED_QUERY_NOT_FOUND"
    status = 200

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound", hint="Send the text along with its hash.")


class PersistedQueryNotSupportedError(FirnlineError):
    """The hash names nothing, and texts are not registered: Apollo's clients send texts alone."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"
    status = 200

    def __init__(self) -> None:
        super().__init__(
            "PersistedQueryNotSupported",
            hint="Publish the operation, or send its text without a hash; "
            "`graph: {automaticPersistedQueries: true}` lets clients register texts.",
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A text to run; `name` and `operation_id` are set when it was found among published ones."""

    text: str
    name: str = ""
    operation_id: str = ""

    @property
    def published(self) -> tuple[str, ...]:
        """Return under what it is published; nothing for a text that nobody published."""
        return tuple(filter(None, (self.name, self.operation_id)))


@dataclass(frozen=True, slots=True)
class DocumentRules:
    """What a tenant allows: published operations alone, and texts registered by their hash."""

    persisted_only: bool = False
    automatic: bool = False


class PublishedOperations(Protocol):
    """Where published operations are read."""

    async def operation(self, tenant: str, operation_id: str) -> OperationRow | None:
        """Return the operation that an id names."""
        ...


class Documents:
    """Finds documents by id, and keeps what Apollo's clients register, in memory and bounded."""

    def __init__(
        self,
        published: PublishedOperations,
        *,
        rules: Callable[[str], DocumentRules],
        clock: Clock,
    ) -> None:
        self._published = published
        self._rules = rules
        self._clock = clock
        self._looked_up: Recent[tuple[str, str], tuple[Document, float]] = Recent(_LOOKED_UP_MAX)
        self._registers: dict[str, Recent[str, str]] = {}

    async def document(
        self, tenant: str, *, query: str | None, document_id: str | None, is_apollo: bool = False
    ) -> Document:
        """Return the document to run.

        Raises UnknownOperationError, PersistedOnlyError or, to a client of Apollo's dialect, what
        that dialect says instead.
        """
        rules = self._rules(tenant)
        if document_id:
            found = await self._find(tenant, document_id, rules)
            if found is not None:
                return found
        if query is not None:
            if rules.persisted_only:
                raise PersistedOnlyError
            return Document(query)
        if not document_id:
            raise UsageError("the request holds no document", hint="Send query or documentId.")
        # Where nothing may be registered, sending the text along would only be refused again.
        if not is_apollo or rules.persisted_only:
            raise UnknownOperationError(document_id)
        raise PersistedQueryNotFoundError if rules.automatic else PersistedQueryNotSupportedError

    def register(self, tenant: str, document_id: str, text: str) -> None:
        """Remember a text that ran under its hash, where the tenant allows that."""
        rules = self._rules(tenant)
        if rules.automatic and not rules.persisted_only:
            register = self._registers.setdefault(tenant, Recent(REGISTERED_BYTES_MAX))
            register.put(document_id, text, max(len(text), _REGISTERED_LEAST))

    async def _find(self, tenant: str, document_id: str, rules: DocumentRules) -> Document | None:
        known = self._looked_up.get((tenant, document_id))
        now_s = self._clock.monotonic()
        if known is not None and now_s - known[1] < PUBLISHED_AGE_S:
            return known[0]
        for spelling in _spellings(document_id):
            row = await self._published.operation(tenant, spelling)
            if row is not None:
                found = Document(row.text, row.name, row.operation_id)
                self._looked_up.put((tenant, document_id), (found, now_s))
                return found
        if rules.automatic and not rules.persisted_only and tenant in self._registers:
            text = self._registers[tenant].get(document_id)
            return None if text is None else Document(text)
        return None


def _spellings(document_id: str) -> tuple[str, ...]:
    """Return the ids under which the document may be published: with and without the prefix."""
    if document_id.startswith(_DIGEST_PREFIX):
        return document_id, document_id.removeprefix(_DIGEST_PREFIX)
    if len(document_id) == 64:
        return document_id, _DIGEST_PREFIX + document_id
    return (document_id,)
