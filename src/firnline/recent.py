"""What was used last, up to a bound: the one way in which anything is kept for the next time.

Takes values under keys; whoever asks again gets them back, unless others have been used more
lately. Nothing here knows whether a value is still true: its owner does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Recent(Generic[Key, Kept]):
    """The last used values, up to a total weight; the newest one always. Safe between threads.

    Where nothing else is said, each weighs 1: then the weight is a number of values.
    """

    def __init__(self, weight_max: int) -> None:
        self._weight_max = weight_max
        self._turn = threading.Lock()
        self._kept: OrderedDict[Key, tuple[Kept, int]] = OrderedDict()
        self.weight = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    @property
    def is_full(self) -> bool:
        """Say whether the next value would drive another out."""
        return self.weight >= self._weight_max

    def get(self, key: Key) -> Kept | None:
        """Return what is kept under `key`; that is a use of it."""
        with self._turn:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Key, value: Kept, weight: int = 1) -> list[Kept]:
        """Keep `value`; return what had to go for it."""
        with self._turn:
            return self._put(key, value, weight)

    def put_first(self, key: Key, value: Kept) -> Kept:
        """Keep `value`, or return what another thread kept under `key` before."""
        with self._turn:
            found = self._kept.get(key)
            if found is not None:
                return found[0]
            self._put(key, value, 1)
            return value

    def drop(self, key: Key) -> Kept | None:
        """Forget and return what is kept under `key`."""
        with self._turn:
            found, weight = self._kept.pop(key, (None, 0))
            self.weight -= weight
            return found

    def drop_where(self, is_gone: Callable[[Key], bool]) -> None:
        """Forget what is kept under certain keys."""
        with self._turn:
            for key in [each for each in self._kept if is_gone(each)]:
                self.weight -= self._kept.pop(key)[1]

    def clear(self) -> None:
        """Forget everything."""
        with self._turn:
            self._kept.clear()
            self.weight = 0

    def values(self) -> list[Kept]:
        """Return everything that is kept."""
        with self._turn:
            return [value for value, _ in self._kept.values()]

    def _put(self, key: Key, value: Kept, weight: int) -> list[Kept]:
        _, before = self._kept.pop(key, (None, 0))
        self._kept[key] = (value, weight)
        self.weight += weight - before
        gone: list[Kept] = []
        while self.weight > self._weight_max and len(self._kept) > 1:
            _, (dropped, lost) = self._kept.popitem(last=False)
            self.weight -= lost
            gone.append(dropped)
        return gone
