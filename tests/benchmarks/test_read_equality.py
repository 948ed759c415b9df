"""What the read benchmark calls an equal answer: it must see differences, and only real ones."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from benchmarks.read import stores
from benchmarks.read.cases import CASES
from benchmarks.read.dataset import ALL, REP, dataset
from benchmarks.read.dialects import DUCKDB, SQLITE
from benchmarks.read.load import parsed
from benchmarks.read.reference import Reference, comparable
from benchmarks.read.sql import parameters, statements

SCALE = 0.02


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return dataset(SCALE)


@pytest.fixture(scope="module")
def sqlite(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("stores") / "sqlite"
    stores.fill_sqlite(path, tables)
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def duck(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("stores") / "duckdb"
    stores.fill_duckdb(path, tables)
    with duckdb.connect(str(path), read_only=True) as connection:
        yield connection


def _answer(connection: Any, dialect: Any, case: str, variables: dict[str, Any]) -> Any:
    values = parameters(case, variables)
    (text,) = connection.execute(statements(dialect)[case], values).fetchone()
    return comparable(orjson.loads(text)["data"])


@pytest.mark.parametrize("case", CASES)
def test_hand_written_sql_answers_as_the_rows_say(
    case: str, tables: dict[str, Any], sqlite: Any, duck: Any
) -> None:
    reference, chance = Reference(tables, ALL), random.Random(3)
    for _ in range(3):
        variables = CASES[case].draw(chance)
        if case == "point":
            variables = {"id": f"a{chance.randrange(200):07d}"}
        if case == "wide":
            variables = {"floor": chance.randrange(40)}
        expected = reference.answer(case, variables)
        assert expected != {"accounts": []}
        assert _answer(sqlite, SQLITE, case, variables) == expected
        assert _answer(duck, DUCKDB, case, variables) == expected


def test_a_person_with_a_row_filter_is_expected_to_see_fewer_accounts(
    tables: dict[str, Any],
) -> None:
    variables = {"segment": "segment-a", "floor": 0}
    everything = Reference(tables, ALL).answer("nested", variables)["accounts"]
    filtered = Reference(tables, REP).answer("nested", variables)["accounts"]
    assert 0 < len(filtered) < len(everything)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"nodes": [{"id": "a"}]}, [{"id": "a"}]),
        ({"createdAt": "2026-01-02T03:04:05.000Z"}, {"createdAt": "2026-01-02 03:04:05"}),
        ({"createdAt": "2026-01-02T03:04:05"}, {"createdAt": "2026-01-02T03:04:05+00:00"}),
    ],
)
def test_answers_that_differ_in_form_only_are_equal(one: Any, other: Any) -> None:
    assert comparable(one) == comparable(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"id": "a"}, {"id": "b"}], [{"id": "b"}, {"id": "a"}]),
        ({"amount": "1.10"}, {"amount": "1.1"}),
        ({"createdAt": "2026-01-02T03:04:05.100Z"}, {"createdAt": "2026-01-02T03:04:05.000Z"}),
        ({"createdAt": "2026-01-02T03:04:05+01:00"}, {"createdAt": "2026-01-02T03:04:05Z"}),
        ({"id": "a", "name": None}, {"id": "a"}),
    ],
)
def test_answers_that_differ_in_content_are_different(one: Any, other: Any) -> None:
    assert comparable(one) != comparable(other)


def test_data_set_is_the_same_every_time() -> None:
    first, second = dataset(SCALE), dataset(SCALE)
    assert all(first[name].equals(second[name]) for name in first)


def test_load_reads_what_the_script_prints() -> None:
    loaded = parsed("Running 1s test\nRESULT 500 1000000 1500 9000 2 1\n")
    assert (loaded.requests, loaded.rps, loaded.p50_ms, loaded.p99_ms) == (500, 500.0, 1.5, 9.0)
    assert (loaded.refused, loaded.broken) == (2, 1)


def test_load_scripts_path_is_the_one_shipped() -> None:
    assert (Path(stores.__file__).parent / "load.lua").is_file()
