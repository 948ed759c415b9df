"""Names of the graph: a vendor's name as it is where GraphQL allows it, else one to tell it from.

Takes names of a catalog; shape gives them to types, fields and relations. Different names stay
different, and each can be told from its GraphQL name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_LEGAL = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")
_FILTER_WORDS = frozenset({"and", "or", "not"})
_FUNCTIONS = ("Sum", "Avg", "Min", "Max", "CountDistinct", "Statistics", "Aggregate")
# Types that stand beside an object's own, and the field that gives one record of it.
_BESIDE = (
    *("Where", "ListWhere", "OrderBy", "Connection", "Edge", "_by_key", "_by_keys"),
    *("ListOrderBy", "AggregateOrderBy", "SumOrderBy", "MinOrderBy", "CountDistinctOrderBy"),
    *("Group", "GroupKeys", "GroupBy", "GroupOrderBy"),
    *_FUNCTIONS,
    *(f"{function}Where" for function in _FUNCTIONS),
)


def graphql_name(name: str) -> str:
    """Return a legal GraphQL name for a vendor's name, the same name where it is legal.

    Other characters become `_x<hex>_`, so that different names stay different.
    """
    if _LEGAL.fullmatch(name) and not name.startswith("__") and "_x" not in name:
        return name
    escaped = "".join(
        character if re.fullmatch(r"[0-9A-Za-z_]", character) else f"_x{ord(character):x}_"
        for character in name.replace("_x", "_x5f_x")
    )
    return escaped if re.match(r"(?!__)[_A-Za-z]", escaped) else f"_x_{escaped}"


def field_name(name: str) -> str:
    """Return the GraphQL name of a vendor's field or relation.

    `and`, `or` and `not` belong to filters: such fields get `_x_` at their end, which no other name
    ends in.
    """
    legal = graphql_name(name)
    return f"{legal}_x_" if legal in _FILTER_WORDS else legal


def object_names(names: Iterable[str]) -> Mapping[str, str]:
    """Return the GraphQL name of each of a connection's objects, by the vendor's name.

    An object named like something that stands beside another one (`dealWhere`, `deal_by_key`) gets
    `_x_` at its end.
    """
    legal = {name: graphql_name(name) for name in names}
    taken = set(legal.values())
    beside = {f"{name}{suffix}" for name in taken for suffix in _BESIDE}
    return {name: f"{own}_x_" if own in beside else own for name, own in legal.items()}


def names_beside(type_names: Iterable[str]) -> set[str]:
    """Return the names of all types that objects of these type names bring along."""
    kept = set(type_names)
    return kept | {f"{name}{suffix}" for name in kept for suffix in _BESIDE}


def free_name(wanted: str, taken: set[str]) -> str:
    """Return a type name that neither itself nor as a filter's is in `taken`, and take it."""
    while wanted in taken or f"{wanted}Where" in taken:
        wanted += "_x_"
    taken |= {wanted, f"{wanted}Where"}
    return wanted
