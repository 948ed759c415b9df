"""Root fields that are stopped because another one failed end without a trace."""

from __future__ import annotations

import gc
from typing import Any

from tests.graph.world import World

# Filters over relations: columns in memory cannot answer them, so each field needs a thread.
SLOW = "accounts(where: {deals: {some: {quantity: {gt: %d}}}}) { totalCount }"
SEVERAL = "\n".join(f"k{n}: {SLOW.replace('%d', str(n))}" for n in range(8))
STOPPED = f"{{ wrong: accounts(first: 201) {{ totalCount }} {SEVERAL} }}"


def test_root_fields_stopped_by_the_failure_of_another_leave_no_lost_exception(
    world: World,
) -> None:
    lost: list[dict[str, Any]] = []
    loop = world.runner.get_loop()
    loop.set_exception_handler(lambda _loop, context: lost.append(context))
    try:
        for _ in range(5):
            assert world.ask(STOPPED)["data"] is None
            gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert lost == []
