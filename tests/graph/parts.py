"""Answers in parts: asking for them, and putting them together as the specification says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from tests.graph.world import World

from firnline.access.principal import Principal
from firnline.graph.answer import Question

Part = Mapping[str, Any]


async def parts_of(world: World, email: str, question: Question) -> list[Any]:
    """Return an answer and what follows it, part by part, as JSON carries them."""
    answer = await world.responder.answer(Principal(tenant="acme", email=email), question)
    found = [orjson.loads(answer.body())]
    if answer.later is None:
        return found
    found[0] |= answer.later.first
    try:
        while found[-1]["hasNext"]:
            part = await answer.later.next()
            assert part is not None
            found.append(orjson.loads(orjson.dumps(part)))
    finally:
        await answer.later.close()
    return found


def put_together(parts: Iterable[Part]) -> Any:
    """Return the data of a whole answer from its parts; what was announced must be completed."""
    first, *later = parts
    data = first["data"]
    pending = {each["id"]: each for each in first.get("pending", ())}
    for part in later:
        pending |= {each["id"]: each for each in part.get("pending", ())}
        for each in part.get("incremental", ()):
            place = _at(data, [*pending[each["id"]]["path"], *each.get("subPath", ())])
            if "items" in each:
                place.extend(each["items"])
            else:
                place.update(each["data"])
        for each in part.get("completed", ()):
            assert "errors" not in each, each
            del pending[each["id"]]
    assert not pending
    return data


def _at(data: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        data = data[step]
    return data
