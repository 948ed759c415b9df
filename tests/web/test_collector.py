"""While a server serves, collections walk what requests made and nothing that was there before."""

from __future__ import annotations

import gc
import weakref

import pytest

from firnline.web.collector import settled_collector


class Node:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_objects_from_before_are_not_walked_and_new_garbage_is_freed() -> None:
    walked_before = len(gc.get_objects())
    with settled_collector():
        assert len(gc.get_objects()) < walked_before / 10
        gone = weakref.ref(Node())
        gc.collect()
        assert gone() is None


def test_collector_is_as_before_also_after_a_failure() -> None:
    thresholds = gc.get_threshold()
    with pytest.raises(RuntimeError), settled_collector():
        assert gc.get_threshold() != thresholds
        raise RuntimeError
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0
