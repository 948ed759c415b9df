"""What a debugger, an error page or a careless log line would show of live objects and errors.

Takes objects; gives the texts of everything of ours that can be reached from them.
"""

from __future__ import annotations

import gc
import traceback
from collections import deque
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
    TracebackType,
)

OBJECTS_MAX = 400_000
TEXT_MAX = 100_000
_OURS = ("firnline.", "firnline_connectors", "tests.connections.providers")
# Tables, plans and schemas: what tenants' data is kept in holds no way to it.
_PASSED_OVER = ("firnline.graph.memory", "firnline.cache", "firnline.catalog")
_DEAD_ENDS = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    CodeType,
    FrameType,
    TracebackType,
    str,
    bytes,
    int,
    float,
)


def reachable(*roots: object) -> Iterator[object]:
    """Yield every object of ours that leads can be followed to from `roots`."""
    known: set[int] = set()
    waiting: deque[object] = deque(roots)
    while waiting and len(known) < OBJECTS_MAX:
        found = waiting.popleft()
        if id(found) in known or isinstance(found, _DEAD_ENDS):
            continue
        known.add(id(found))
        module = type(found).__module__
        if module.startswith(_PASSED_OVER) or ".sandbox" in module:
            continue  # what the providers of this very process keep is theirs
        if module.startswith(_OURS) or isinstance(found, BaseException):
            yield found
        if isinstance(found, MethodType):
            waiting.append(found.__self__)
        else:
            waiting.extend(gc.get_referents(found))


def shown(found: object) -> str:
    """Return what an object shows of itself: its texts, and its variables by name."""
    lines = [f"{type(found).__module__}.{type(found).__qualname__}"]
    for show in (repr, str):
        lines.append(_safely(show, found))
    variables = getattr(found, "__dict__", None)
    if isinstance(variables, dict):
        lines += [f"{name}={_safely(repr, value)}" for name, value in variables.items()]
    return "\n".join(lines)


def told(error: BaseException) -> str:
    """Return everything that a raised error and its causes tell, tracebacks included."""
    lines = []
    for each in chain(error):
        lines += [shown(each), _safely(repr, each.args)]
        facts = getattr(each, "as_dict", None)
        lines.append(_safely(repr, facts()) if callable(facts) else "")
    return "\n".join([*lines, *traceback.format_exception(error)])


def variables(error: BaseException) -> str:
    """Return the variables of our own frames that an error came through, as pytest prints them."""
    return "\n".join(_variables(each.__traceback__) for each in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes and contexts, and what groups hold."""
    waiting: list[BaseException | None] = [error]
    known: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in known:
            continue
        known.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions


def _variables(trace: TracebackType | None) -> str:
    """Return the variables of our own frames, as pytest and rich print them."""
    lines = []
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__", "")).startswith(_OURS):
            place = f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
            lines += [f"{place} {n}={_safely(repr, v)}" for n, v in frame.f_locals.items()]
        trace = trace.tb_next
    return "\n".join(lines)


def _safely(show: object, found: object) -> str:
    try:
        return str(show(found))[:TEXT_MAX]  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001 - a broken repr shows nothing
        return f"<{type(error).__name__}>"
