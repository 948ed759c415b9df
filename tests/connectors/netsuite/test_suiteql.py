"""The sandbox's SuiteQL, against answers worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from firnline.connectors.registry import load_module

suiteql = load_module("netsuite", "suiteql")
suiteql_run = load_module("netsuite", "suiteql_run")


class Tables:
    """Three small tables; `secret` is a column that the role lacks."""

    timezone = "America/Los_Angeles"

    def __init__(self) -> None:
        orders = [
            {"id": 1, "buyer": 10, "total": Decimal("5.50"), "at": datetime(2026, 1, 2, 3, 4, 5)},
            {"id": 2, "buyer": 10, "total": Decimal("4.50"), "at": datetime(2026, 1, 2, 3, 4, 5)},
            {"id": 3, "buyer": 11, "total": Decimal(100), "open": "T", "note": "it's"},
            {"id": 4, "buyer": None, "total": Decimal(-1), "note": "50%_off"},
        ]
        columns = frozenset({"id", "buyer", "total", "at", "open", "note"})
        self.known = {
            "orders": suiteql_run.Table("orders", orders, columns, frozenset({"secret"})),
            "buyer": suiteql_run.Table(
                "buyer",
                [{"id": 10, "name": "Ada"}, {"id": 12, "name": "Bo"}],
                frozenset({"id", "name"}),
            ),
        }

    def table(self, name: str) -> Any:
        if name not in self.known:
            raise suiteql.SuiteQLError(f"Record '{name}' was not found.")
        return self.known[name]

    def display(self, table: str, column: str, value: Any) -> str | None:
        return None if value is None else f"<{value}>"


def rows(query: str, *, offset: int = 0, limit: int = 1000) -> list[Mapping[str, Any]]:
    found, _ = suiteql_run.run(suiteql.parse(query), Tables(), offset=offset, limit=limit)
    return [{name: value for name, value in row.items() if name != "links"} for row in found]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("id > 2", "3 4"),
        ("id >= 2 AND id <= 3", "2 3"),
        ("id BETWEEN 2 AND 3", "2 3"),
        ("buyer = 10 OR id = 4", "1 2 4"),
        ("id = 1 OR id = 2 AND total > 100", "1"),
        ("(id = 1 OR id = 2) AND total < 5", "2"),
        ("NOT buyer = 10", "3"),  # null is neither equal nor unequal
        ("buyer <> 10", "3"),
        ("buyer IS NULL", "4"),
        ("buyer IS NOT NULL", "1 2 3"),
        ("id IN (1, '3')", "1 3"),
        ("id NOT IN (1, 3)", "2 4"),
        ("buyer NOT IN (10)", "3"),
        ("id = '2'", "2"),
        ("open = 'T'", "3"),
        ("note LIKE '50%'", "4"),
        ("note = 'it''s'", "3"),
        ("LOWER(note) LIKE '%OFF'", ""),
        ("UPPER(note) LIKE '%OFF'", "4"),
        ("NVL(buyer, 0) = 0", "4"),
        ("total < -0.5", "4"),
        ("at >= TO_DATE('2026-01-02', 'YYYY-MM-DD')", "1 2"),
        ("at > TO_TIMESTAMP('2026-01-02 03:04:05', 'YYYY-MM-DD HH24:MI:SS')", ""),
        ("TO_CHAR(at, 'YYYY-MM') = '2026-01' AND id <> 1", "2"),
    ],
)
def test_condition_keeps_exactly_the_rows_that_oracle_would(where: str, ids: str) -> None:
    found = rows(f"SELECT id FROM orders WHERE {where} ORDER BY id")

    assert " ".join(row["id"] for row in found) == ids


def test_values_are_texts_dates_lose_their_time_and_nulls_are_absent() -> None:
    assert rows("SELECT ID, Total, at, note AS Remark FROM orders WHERE id = 1") == [
        {"id": "1", "total": "5.5", "at": "1/2/2026"}
    ]


def test_to_char_keeps_the_time_and_display_text_is_offered() -> None:
    query = "SELECT TO_CHAR(at, 'YYYY-MM-DD HH24:MI:SS') AS at, BUILTIN.DF(buyer) b FROM orders"

    assert rows(f"{query} WHERE id = 1") == [{"at": "2026-01-02 03:04:05", "b": "<10>"}]


def test_inner_join_drops_and_left_join_keeps_rows_without_partner() -> None:
    select = "SELECT o.id, b.name FROM orders o {} JOIN buyer b ON b.id = o.buyer ORDER BY o.id"

    assert rows(select.format("INNER")) == [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Ada"}]
    assert [row.get("name") for row in rows(select.format("LEFT"))] == ["Ada", "Ada", None, None]


def test_condition_on_a_left_joined_table_counts_after_the_join() -> None:
    select = "SELECT o.id FROM orders o LEFT JOIN buyer b ON o.buyer = b.id WHERE b.id IS NULL"

    assert [row["id"] for row in rows(select)] == ["3", "4"]


def test_groups_and_aggregates_skip_nulls() -> None:
    grouped = rows("SELECT buyer, COUNT(*) AS n, SUM(total) s FROM orders GROUP BY buyer")
    whole = rows(
        "SELECT COUNT(buyer), MAX(id), MIN(total), MAX(note) AS top FROM orders WHERE id < 3"
    )

    assert grouped == [
        {"buyer": "10", "n": "2", "s": "10"},
        {"buyer": "11", "n": "1", "s": "100"},
        {"n": "1", "s": "-1"},
    ]
    assert whole == [{"expr1": "2", "expr2": "2", "expr3": "4.5"}]


def test_order_puts_nulls_last_and_descending_first_and_fetch_first_cuts() -> None:
    assert [row["id"] for row in rows("SELECT id FROM orders ORDER BY buyer, id DESC")] == [*"2134"]
    assert rows("SELECT id FROM orders ORDER BY buyer DESC FETCH FIRST 1 ROWS ONLY") == [
        {"id": "4"}
    ]


def test_offset_and_limit_cut_one_page_of_all() -> None:
    found, total = suiteql_run.run(
        suiteql.parse("SELECT id FROM orders ORDER BY id"), Tables(), offset=2, limit=2
    )

    assert ([row["id"] for row in found], total) == (["3", "4"], 4)


def test_session_time_zone_comes_from_dual() -> None:
    assert rows("SELECT SESSIONTIMEZONE FROM DUAL") == [{"expr1": "America/Los_Angeles"}]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT nothing FROM orders", "Unknown identifier 'nothing'"),
        ("SELECT secret FROM orders", "Field 'secret' not found"),
        ("SELECT id FROM orders WHERE secret = 1", "Field 'secret' not found"),
        ("SELECT id FROM nowhere", "Record 'nowhere' was not found"),
        ("SELECT id FROM orders LIMIT 5", "near 'LIMIT'"),
        ("SELECT id FROM orders o JOIN buyer b ON b.id = o.buyer", "ambiguous"),
        ("SELECT id FROM orders WHERE at > '2026-01-01'", "TO_DATE"),
        ("SELECT id FROM orders WHERE at > TO_DATE('x', 'YYYY')", "Unparseable date"),
        ("SELECT id FROM orders WHERE at > TO_DATE(note, 'YYYY')", "constant"),
        ("SELECT id FROM orders WHERE id = 'x'", "invalid number"),
        ("SELECT FOO(id) FROM orders", "Unknown function 'FOO'"),
        ("SELECT id FROM orders WHERE SUM(id) > 1", "not allowed here"),
        ("SELECT id FROM", "expected a name"),
        ("DROP TABLE orders", "expected SELECT"),
        ("SELECT id FROM orders; DELETE FROM orders", "unexpected text"),
        ("SELECT id FROM orders WHERE " + "(" * 100 + "id = 1" + ")" * 100, "nested too deeply"),
        (f"SELECT id FROM orders WHERE id IN ({','.join(['1'] * 1001)})", "1000 values"),
        ("SELECT id FROM orders WHERE id = #", "near"),
        ("", "expected SELECT"),
    ],
)
def test_wrong_query_is_refused_with_what_is_wrong(query: str, complaint: str) -> None:
    with pytest.raises(suiteql.SuiteQLError) as refused:
        rows(query)

    assert complaint in str(refused.value)
