"""Tells whoever listens that a cache was changed.

Takes the word of the cache, in whatever thread it commits; running subscriptions receive it on
their own event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Commits:
    """The listeners of one cache. Safe between threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """Return how many listen."""
        return len(self._listeners)

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` after every commit while the block runs.

        It is called in the thread that committed, and must neither wait nor raise.
        """
        with self._turn:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._turn:
                self._listeners.remove(listener)

    def tell(self) -> None:
        """Call every listener."""
        with self._turn:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()
