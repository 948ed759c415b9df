"""Persisted operations: documents published ahead and executed by id.

Takes documents from files; respond executes what `documentId` names. Publishing checks the document
against the tenant's schema, so that what is published can run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from graphql import DocumentNode, OperationDefinitionNode, validate

from firnline.errors import FirnlineError, UsageError
from firnline.graph.guard import DocumentLimits, guarded
from firnline.graph.schema import TenantSchema
from firnline.state.rows import OperationRow
from firnline.state.state import operation_id_of

_DIGEST_PREFIX = "sha256:"


class UnknownOperationError(FirnlineError):
    """No operation of that id is published for this tenant."""

    code = "unknown_operation"
    status = 404

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"no operation {operation_id!r} is published for this tenant",
            hint="Publish it with `firnline operations publish`, or ask by a published id.",
        )


class OperationInvalidError(UsageError):
    """A document cannot be published: it does not fit the tenant's schema."""

    code = "operation_invalid"


class OperationStore(Protocol):
    """Where operations are kept."""

    async def publish_operation(
        self, tenant: str, operation_id: str, name: str, text: str, *, at: datetime
    ) -> OperationRow:
        """Store an operation under its id."""
        ...

    async def operation(self, tenant: str, operation_id: str) -> OperationRow | None:
        """Return the operation that an id names."""
        ...


async def publish(
    text: str,
    *,
    tenant: str,
    schema: TenantSchema,
    store: OperationStore,
    now: datetime,
    operation_id: str = "",
    limits: DocumentLimits | None = None,
) -> OperationRow:
    """Check a document against the tenant's schema and store it.

    The id is the digest of the text unless `operation_id` names another. Raises DocumentError,
    DocumentTooLargeError or OperationInvalidError, naming every problem.
    """
    name = checked(text, tenant=tenant, schema=schema, limits=limits)
    digest = operation_id_of(text)
    identity = operation_id or digest
    if identity.startswith(_DIGEST_PREFIX) and identity != digest:
        raise OperationInvalidError(
            f"{identity!r} is not the digest of the document",
            hint="Leave the id away, or choose one that does not start with sha256:.",
        )
    return await store.publish_operation(tenant, identity, name, text, at=now)


def checked(
    text: str, *, tenant: str, schema: TenantSchema, limits: DocumentLimits | None = None
) -> str:
    """Return the name of a document's one operation; raises as `publish` does."""
    document = guarded(text, limits or DocumentLimits())
    names = operation_names(document)
    if len(names) != 1 or not names[0]:
        raise OperationInvalidError(
            f"a published document holds one named operation, this one holds {len(names)}",
            hint="Write `query Name(...) { ... }`, one per file.",
        )
    problems = validate(schema._schema, document)
    if problems:
        raise OperationInvalidError(
            "; ".join(problem.message for problem in problems),
            hint=f"Compare with `firnline schema {tenant}`.",
        )
    return names[0]


def operation_names(document: DocumentNode) -> Sequence[str]:
    """Return the name of each operation of a document, empty for one without."""
    return [
        node.name.value if node.name else ""
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    ]
