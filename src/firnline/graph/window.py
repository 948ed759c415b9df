"""Windows: which stretch of a list a connection shows.

Takes the arguments first, after, last and before; plan reads the list from one of its ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from firnline.errors import UsageError

PAGE_DEFAULT = 20
PAGE_MAX = 200


class PageSizeError(UsageError):
    """The caller asked for more records than one page may hold, or for less than none."""

    code = "page_size"

    def __init__(self, asked: int, argument: str = "first") -> None:
        super().__init__(
            f"{argument}: {asked} is outside 0..{PAGE_MAX}",
            hint=f"Ask for {argument}: {PAGE_MAX}, then follow the cursors of pageInfo.",
        )


class WindowError(UsageError):
    """The arguments of a connection contradict each other."""

    code = "page_invalid"


@dataclass(frozen=True, slots=True)
class Window:
    """At most `size` records between two cursors, from the end when `is_backward`."""

    size: int
    is_backward: bool = False
    after: str | None = None
    before: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the window that arguments ask for; raises PageSizeError or WindowError."""
        first, last = arguments.get("first"), arguments.get("last")
        if first is not None and last is not None:
            raise WindowError("first and last were both given", hint="Page from one end only.")
        asked, name = (first, "first") if last is None else (last, "last")
        size = PAGE_DEFAULT if asked is None else asked
        if not 0 <= size <= PAGE_MAX:
            raise PageSizeError(size, name)
        return cls(
            size=size,
            is_backward=last is not None,
            after=arguments.get("after"),
            before=arguments.get("before"),
        )
