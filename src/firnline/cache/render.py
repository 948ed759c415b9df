"""Renders a `Select` as DuckDB SQL with bound values.

The one place that turns questions into SQL text. Identifiers are quoted, names come from the
catalog, every value is a parameter.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from firnline.cache.naming import quote_identifier, table_reference
from firnline.cache.query import (
    Bound,
    BoundList,
    Call,
    Case,
    Cast,
    Column,
    Exists,
    Expression,
    InSelect,
    KeyedHash,
    Order,
    RowFilter,
    RowNumber,
    Scalar,
    Select,
    Table,
    Verified,
    Withheld,
)

_INFIX = {
    "eq": "=",
    "neq": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "same": "IS NOT DISTINCT FROM",
}
_HASH_BLOCK = 64  # bytes that SHA-256 takes at once
_FUNCTION = {
    "contains": "contains",
    "starts_with": "starts_with",
    "ends_with": "suffix",
    "coalesce": "coalesce",
    "list_has": "list_contains",
    "list_has_any": "list_has_any",
    "list_has_all": "list_has_all",
    "lower": "lower",
    "sum": "sum",
    "avg": "avg",
    "min": "min",
    "max": "max",
    "stddev": "stddev_samp",
    "median": "median",
    "date_trunc": "date_trunc",
    "quantile": "quantile_cont",
    "first_by": "arg_min_null",
}


def render(select: Select) -> tuple[str, list[Any]]:
    """Return SQL text with `?` placeholders and the values for them, in order."""
    renderer = _Renderer()
    return renderer.select(select), renderer.values


class _Renderer:
    def __init__(self) -> None:
        self.values: list[Any] = []

    def select(self, select: Select) -> str:
        # Parts are rendered in the order in which their placeholders stand in the text.
        parts = ["SELECT " + ", ".join(self._column(*column) for column in select.columns)]
        parts.append(f"FROM {self._source(select.source)} AS {quote_identifier(select.alias)}")
        for join in select.joins:
            source = self._source(join.source)
            on = self.expression(join.on)
            parts.append(f"LEFT JOIN {source} AS {quote_identifier(join.alias)} ON {on}")
        if select.where is not None:
            parts.append("WHERE " + self.expression(select.where))
        if select.group_by:
            parts.append("GROUP BY " + ", ".join(self._group(select, by) for by in select.group_by))
        if select.order_by:
            parts.append("ORDER BY " + self._order(select.order_by))
        if select.limit is not None:
            parts.append("LIMIT ?")
            self.values.append(select.limit)
        return " ".join(parts)

    def _column(self, name: str, expression: Expression) -> str:
        return f"{self.expression(expression)} AS {quote_identifier(name)}"

    def _source(self, source: Table | Select) -> str:
        if isinstance(source, Table):
            return table_reference(source.connection, source.object)
        return f"({self.select(source)})"

    def _group(self, select: Select, by: Expression) -> str:
        # By position where it is selected: with bound values in it, DuckDB would not recognise the
        # same expression a second time.
        for position, (_, expression) in enumerate(select.columns, start=1):
            if expression == by:
                return str(position)
        return self.expression(by)

    def _order(self, order_by: tuple[Order, ...]) -> str:
        return ", ".join(
            f"{self.expression(order.by)} {'DESC' if order.descending else 'ASC'} "
            f"NULLS {'FIRST' if order.nulls_first else 'LAST'}"
            for order in order_by
        )

    def expression(self, expression: Expression) -> str:
        match expression:
            case Column(alias, name):
                return f"{quote_identifier(alias)}.{quote_identifier(name)}"
            case Bound(value, type_name):
                self.values.append(value)
                return f"CAST(? AS {type_name})"
            case BoundList(values, type_name):
                self.values.append(list(values))
                return f"CAST(? AS {type_name}[])"
            case Cast(value, type_name):
                return f"TRY_CAST({self.expression(value)} AS {type_name})"
            case Case(branches, otherwise):
                return self._case(branches, otherwise)
            case Scalar(select):
                return f"({self.select(select)})"
            case Exists(select):
                return f"EXISTS ({self.select(select)})"
            case InSelect(value, select):
                return f"({self.expression(value)} IN ({self.select(select)}))"
            case RowNumber(partition, order, also):
                partitioned = ", ".join(map(self.expression, (partition, *also)))
                ordered = f" ORDER BY {self._order(order)}" if order else ""
                return f"row_number() OVER (PARTITION BY {partitioned}{ordered})"
            case RowFilter(condition):
                return self.expression(condition)
            case KeyedHash(value, key):
                return self._keyed_hash(value, key)
            case Verified():
                return "/* records that their source has to confirm */ FALSE"
            case Withheld(what):
                return f"/* {what} */ TRUE"
            case Call():
                return self._call(expression)

    def _keyed_hash(self, value: Expression, key: bytes) -> str:
        """Render HMAC-SHA-256, which DuckDB has no function for, from two rounds of SHA-256."""
        block = (key if len(key) <= _HASH_BLOCK else sha256(key).digest()).ljust(_HASH_BLOCK, b"\0")
        self.values.append(bytes(each ^ 0x5C for each in block))
        self.values.append(bytes(each ^ 0x36 for each in block))
        text = self.expression(value)
        inner = f"sha256(CAST(? AS BLOB) || encode({text}))"
        return f"sha256(CAST(? AS BLOB) || unhex({inner}))"

    def _case(
        self, branches: tuple[tuple[Expression, Expression], ...], otherwise: Expression | None
    ) -> str:
        whens = " ".join(
            f"WHEN {self.expression(condition)} THEN {self.expression(value)}"
            for condition, value in branches
        )
        rest = f" ELSE {self.expression(otherwise)}" if otherwise is not None else ""
        return f"CASE {whens}{rest} END"

    def _call(self, call: Call) -> str:
        operator = call.operator
        if operator in ("and", "or"):
            if not call.arguments:
                return "TRUE" if operator == "and" else "FALSE"
            joiner = f" {operator.upper()} "
            return "(" + joiner.join(map(self.expression, call.arguments)) + ")"
        arguments = [self.expression(argument) for argument in call.arguments]
        if operator in _INFIX:
            return f"({arguments[0]} {_INFIX[operator]} {arguments[1]})"
        if operator in _FUNCTION:
            return f"{_FUNCTION[operator]}({', '.join(arguments)})"
        return self._special(operator, arguments)

    def _special(self, operator: str, arguments: list[str]) -> str:
        match operator:
            case "not":
                return f"(NOT {arguments[0]})"
            case "in":
                return f"({arguments[0]} IN (SELECT unnest({arguments[1]})))"
            case "is_null":
                return f"({arguments[0]} IS NULL)"
            case "icontains":
                return f"contains(lower({arguments[0]}), lower({arguments[1]}))"
            case "matches":
                return f"regexp_full_match({arguments[0]}, {arguments[1]}, 's')"
            case "imatches":
                return f"regexp_full_match({arguments[0]}, {arguments[1]}, 'si')"
            case "search_text":
                texts = f"lower(concat_ws(chr(10), {', '.join(arguments)}))"
                # strip_accents loses everything after a zero character.
                return f"strip_accents(replace({texts}, chr(0), chr(31)))"
            case "json_contains":
                # The extension refuses text that is not JSON, which would end the whole query.
                return (
                    f"CASE WHEN json_valid({arguments[0]}) "
                    f"THEN json_contains({arguments[0]}, {arguments[1]}) END"
                )
            case "is_empty_list":
                return f"(len({arguments[0]}) = 0)"
            case "count":
                return f"count({arguments[0] if arguments else '*'})"
            case "count_distinct":
                return f"count(DISTINCT {arguments[0]})"
            case "list_json":
                return f"CAST(to_json({arguments[0]}) AS VARCHAR)"
            case "iso_timestamp":
                return f"strftime({arguments[0]}, '%Y-%m-%dT%H:%M:%S.%gZ')"
            case "last_four":
                # The argument stands once, for the values bound in it do.
                shown = "'****' || right(v, least(4, length(v) // 2))"
                return f"list_transform([{arguments[0]}], lambda v: {shown})[1]"
            case "redact":
                return f"regexp_replace({arguments[0]}, {arguments[1]}, '***', 'g')"
            case "text":
                return f"CAST({arguments[0]} AS VARCHAR)"
            case _:
                raise ValueError(f"no SQL for operator {operator!r}")
