"""Root fields that are stopped because another one failed end without a trace."""

from __future__ import annotations

import gc
from typing import Any

from tests.graph.world import World

# Filters over relations: columns in memory cannot answer them, so each field needs a thread.
STOPPED = """{ wrong: accounts(first: 201) { totalCount }
  %s }""" % "\n".join(
    f"k{n}: accounts(where: {{deals: {{some: {{quantity: {{gt: {n % 5}}}}}}}}}) {{ totalCount }}"
    for n in range(8)
)


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
