"""An answer that may be given again, with all that goes along: the figures and the record.

Takes what the gateway made of one request; the edge asks it for the body whenever the very same
request comes from the very same person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firnline.clock import Clock
from firnline.graph.answer import kept_body
from firnline.graph.memory.repeats import Repeat


@dataclass(frozen=True, slots=True)
class CountedRepeat:
    """A kept answer (`web.gateway.Again`). `until_s` is when its document is looked up anew."""

    repeat: Repeat
    told: bytes  # the extensions
    until_s: float | None
    observe: Callable[[float], None]
    note: Callable[[], None]
    clock: Clock

    def body(self) -> bytes | None:
        """Return the response once more, counted and put on record; None where it is not known."""
        started = self.clock.monotonic()
        if self.until_s is not None and started > self.until_s:
            return None
        content = self.repeat.content()
        if content is None:
            return None
        body = kept_body(content, self.told)
        self.note()
        self.observe(self.clock.monotonic() - started)
        return body
