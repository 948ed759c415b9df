"""Queries taken apart: which aliases a part reads, and a query with some of its parts replaced.

Takes expressions and selects; `graph.policy.settling` replaces what only the source can decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from firnline.cache.query import Call, Column, Expression, Join, Select, Verified, all_of

Settle = Callable[[Select], Select]


def with_selects(expression: Expression, settle: Settle) -> Expression:
    """Return an expression with every query right inside of it replaced."""
    changed: Expression = _with_selects(expression, settle)
    return changed


def _with_selects(part: Any, settle: Settle) -> Any:
    if isinstance(part, Select):
        return settle(part)
    if isinstance(part, tuple):
        return tuple(_with_selects(each, settle) for each in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    values = ((each.name, getattr(part, each.name)) for each in fields(part))
    changed = {name: _with_selects(value, settle) for name, value in values}
    return replace(part, **changed)


def conjuncts(condition: Expression | None) -> list[Expression]:
    """Return the conditions that must all hold."""
    if condition is None:
        return []
    if isinstance(condition, Call) and condition.operator == "and":
        return [each for argument in condition.arguments for each in conjuncts(argument)]
    return [condition]


def markers(conditions: Sequence[Expression]) -> list[Verified]:
    """Return what only the source can decide among conditions that must all hold."""
    return [each for each in conditions if isinstance(each, Verified)]


def without(condition: Expression, marker: Verified) -> Expression:
    """Return a condition that need not meet the marker."""
    return all_of([each for each in conjuncts(condition) if each != marker])


def with_condition(join: Join, condition: Expression) -> Join:
    """Return a join on another condition."""
    return replace(join, on=condition)


def foreign_aliases(part: Any) -> frozenset[str]:
    """Return the aliases that a part reads and does not define: a correlated query's outer ones."""
    used: set[str] = set()
    defined: set[str] = set()
    for each in _parts(part):
        if isinstance(each, Column):
            used.add(each.alias)
        elif isinstance(each, Select | Join):
            defined.add(each.alias)
    return frozenset(used - defined)


def holds_marker(part: Any) -> bool:
    """Say whether anything in a part is for the source to decide."""
    return any(isinstance(each, Verified) for each in _parts(part))


def _parts(part: Any) -> Iterator[Any]:
    waiting = [part]
    while waiting:
        each = waiting.pop()
        if isinstance(each, tuple):
            waiting.extend(each)
        elif is_dataclass(each) and not isinstance(each, type):
            yield each
            waiting.extend(getattr(each, found.name) for found in fields(each))
