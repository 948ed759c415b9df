"""The one error tree. Every error has a stable code, a sentence and the caller's next step.

Subclasses live beside the code that raises them; `docs/errors.md` is generated from this tree.
A message never holds a token, a key, or a name that the caller may not see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

_TENANT = re.compile(r"[a-z][a-z0-9-]{0,62}")


class FirnlineError(Exception):
    """Root of every error that Firnline raises on purpose.

    `code` is stable and machine-readable, `hint` says what to do next, `retryable` whether the
    same call may succeed later without a change, `status` the HTTP status at the web edge,
    `exit_code` the CLI's exit code.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form used by the CLI's `--json` and by HTTP refusals."""
        facts: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            facts["hint"] = self.hint
        if self.retryable:
            facts["retryable"] = True
        return facts


class UsageError(FirnlineError):
    """The command or request was formed wrongly."""

    code = "usage"
    status = 400
    exit_code = 2


class UnknownTenantError(FirnlineError):
    """No tenant of that name is declared in this directory."""

    code = "unknown_tenant"
    status = 404
    exit_code = 2

    def __init__(self, tenant: str, known: list[str]) -> None:
        hint = f"Declared tenants: {', '.join(sorted(known)) or 'none'}."
        if _TENANT.fullmatch(tenant):  # only a file that `check` would accept is worth naming
            hint += f" Add tenants/{tenant}.yaml to declare it."
        super().__init__(f"there is no tenant {tenant!r}", hint=hint)


def error_tree(root: type[FirnlineError] = FirnlineError) -> Iterator[type[FirnlineError]]:
    """Yield `root` and every loaded subclass, parents first, in order of code."""
    yield root
    for child in sorted(root.__subclasses__(), key=lambda error: (error.code, error.__name__)):
        yield from error_tree(child)
