"""Writing pages: keys stay unique, shapes follow the catalog, nothing readable is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from firnline.cache.bookkeeping import Checkpoint
from firnline.cache.columns import arrow_type, duckdb_type, widens
from firnline.cache.database import TenantDatabase
from firnline.cache.naming import column_names, quote_identifier, table_reference
from firnline.cache.shape import ObjectKeyError, ObjectNameError, ShapeChange
from firnline.cache.store import RowWithoutKeyError
from firnline.catalog.model import FieldInfo, ObjectInfo


@pytest.fixture
def database(tmp_path: Path) -> Iterator[TenantDatabase]:
    opened = TenantDatabase.open(tmp_path / "acme.duckdb")
    yield opened
    opened.close()


def object_of(name: str = "Account", /, **types: Any) -> ObjectInfo:
    fields = [FieldInfo(name="Id", type="id")]
    for field, type_ in types.items():
        options = dict(type_) if isinstance(type_, dict) else {"type": type_}
        fields.append(FieldInfo(name=field, **options))
    return ObjectInfo(name=name, key="Id", fields=tuple(fields))


def page(object_: ObjectInfo, *rows: dict[str, Any]) -> Any:
    return pa.table(
        {
            field.name: pa.array([row.get(field.name) for row in rows], arrow_type(field))
            for field in object_.fields
        }
    )


def write(
    database: TenantDatabase, object_: ObjectInfo, *rows: dict[str, Any], run: str = "r1"
) -> ShapeChange:
    with database.transaction() as transaction:
        change = transaction.ensure("crm", object_)
        transaction.upsert("crm", object_, page(object_, *rows), run=run)
    return change


def read(database: TenantDatabase, object_: ObjectInfo) -> dict[str, dict[str, Any]]:
    columns = column_names(field.name for field in object_.fields)
    chosen = ", ".join(quote_identifier(column) for column in columns.values())
    with database.snapshot() as snapshot:
        rows = snapshot.fetch(f"SELECT {chosen} FROM {table_reference('crm', object_.name)}")
    found = rows.rename_columns(list(columns)).to_pylist()
    assert len({row["Id"] for row in found}) == len(found)
    return {row["Id"]: row for row in found}


ALL_TYPES = {
    "string": "text é\0😀",
    "int": -5,
    "long": 2**62,
    "decimal": Decimal("1234567890123456.78"),
    "float": 0.1,
    "bool": True,
    "date": date(2026, 2, 28),
    "timestamp": datetime(2026, 2, 28, 23, 59, 59, 123456),
    "time": time(23, 59, 59, 1),
    "json": '{"a":["\\u0000",1.5]}',
    "strings": ["a", "", "b;c"],
}


def test_every_type_comes_back_as_it_was_and_null_as_null(database: TenantDatabase) -> None:
    everything = object_of(**{f"a_{type_}": type_ for type_ in ALL_TYPES})
    values = {f"a_{type_}": value for type_, value in ALL_TYPES.items()}

    write(database, everything, {"Id": "1", **values}, {"Id": "2"})

    found = read(database, everything)
    assert found["1"] == {"Id": "1", **values}
    assert set(found["2"].values()) == {"2", None}


def test_a_decimal_wider_than_duckdb_can_hold_is_capped(database: TenantDatabase) -> None:
    wide = object_of(Amount={"type": "decimal", "precision": 60, "scale": 4})
    value = Decimal("9" * 34 + ".1234")

    write(database, wide, {"Id": "1", "Amount": value})

    assert read(database, wide)["1"]["Amount"] == value


def test_upsert_inserts_overwrites_and_counts_the_last_of_equal_keys(
    database: TenantDatabase,
) -> None:
    account = object_of(Name="string")
    write(database, account, {"Id": "1", "Name": "old"}, {"Id": "2", "Name": "kept"})

    with database.transaction() as transaction:
        rows = page(account, {"Id": "1", "Name": "a"}, {"Id": "3"}, {"Id": "1", "Name": "new"})
        assert transaction.upsert("crm", account, rows, run="r2") == 2

    assert {key: row["Name"] for key, row in read(database, account).items()} == {
        "1": "new",
        "2": "kept",
        "3": None,
    }


def test_an_object_that_has_only_its_key_can_be_written_twice(database: TenantDatabase) -> None:
    bare = object_of()
    write(database, bare, {"Id": "1"})
    write(database, bare, {"Id": "1"}, {"Id": "2"})

    assert sorted(read(database, bare)) == ["1", "2"]


def test_a_row_without_key_is_refused_and_nothing_of_its_page_stays(
    database: TenantDatabase,
) -> None:
    account = object_of(Name="string")
    write(database, account)

    with pytest.raises(RowWithoutKeyError), database.transaction() as transaction:
        transaction.upsert("crm", account, page(account, {"Id": "1"}), run="r")
        transaction.upsert("crm", account, page(account, {"Name": "nobody"}), run="r")

    assert database.count("crm", "Account") == 0


def test_delete_counts_only_what_was_there_and_quotes_nothing_into_sql(
    database: TenantDatabase,
) -> None:
    account = object_of()
    write(database, account, {"Id": "1"}, {"Id": "x' OR '1'='1"}, {"Id": "2"})

    with database.transaction() as transaction:
        assert transaction.delete("crm", account, ["1", "gone", "x' OR '1'='1"]) == 2
        assert transaction.delete("crm", account, []) == 0

    assert sorted(read(database, account)) == ["2"]


def test_records_of_a_numeric_key_are_deleted_by_its_text(database: TenantDatabase) -> None:
    ticket = ObjectInfo(name="tickets", key="id", fields=(FieldInfo(name="id", type="long"),))
    with database.transaction() as transaction:
        transaction.ensure("crm", ticket)
        rows = pa.table({"id": pa.array([1, 2], pa.int64())})
        transaction.upsert("crm", ticket, rows, run="r")
        assert transaction.delete("crm", ticket, ["2", "x"]) == 1


def test_sweep_deletes_what_the_run_did_not_write(database: TenantDatabase) -> None:
    account = object_of(Name="string")
    write(database, account, {"Id": "1"}, {"Id": "2"}, run="old")
    write(database, account, {"Id": "2"}, {"Id": "3"}, run="new")

    with database.transaction() as transaction:
        assert transaction.count("crm", account, missed_by="new") == 1
        assert transaction.sweep("crm", account, run="new") == 1

    assert sorted(read(database, account)) == ["2", "3"]


def with_checkpoint(database: TenantDatabase, object_: ObjectInfo) -> None:
    with database.transaction() as transaction:
        transaction.save_checkpoint(
            Checkpoint(
                connection="crm",
                object=object_.name,
                since="100",
                page="p",
                highest="120",
                deletes_since="90",
                run="r1",
                fields="f",
                rows_total=7,
                state="complete",
                started_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
                completed_at=datetime(2026, 1, 2, tzinfo=UTC),
            )
        )


def test_a_checkpoint_comes_back_as_it_was_and_replaces_the_one_before(
    database: TenantDatabase,
) -> None:
    account = object_of()
    assert database.checkpoint("crm", "Account") is None
    with_checkpoint(database, account)
    stored = database.checkpoint("crm", "Account")
    assert stored is not None

    later = stored.model_copy(update={"since": "200", "page": None})
    with database.transaction() as transaction:
        transaction.save_checkpoint(later)

    assert database.checkpoints() == [later]
    assert database.freshness() == {("crm", "Account"): datetime(2026, 1, 2, tzinfo=UTC)}


def test_a_new_field_is_added_null_and_asks_for_a_re_read(database: TenantDatabase) -> None:
    write(database, object_of(Name="string"), {"Id": "1", "Name": "a"})
    with_checkpoint(database, object_of())
    wider = object_of(Name="string", Tier__c="string")

    change = write(database, wider)

    assert change == ShapeChange(added=("Tier__c",))
    assert database.checkpoint("crm", "Account") is None
    assert read(database, wider) == {"1": {"Id": "1", "Name": "a", "Tier__c": None}}


def test_the_same_catalog_changes_nothing(database: TenantDatabase) -> None:
    account = object_of(Name="string", a="int", A="int")
    write(database, account, {"Id": "1"})
    with_checkpoint(database, account)
    versions = database.versions()

    assert not write(database, account)
    assert database.checkpoint("crm", "Account") is not None
    assert database.versions() == versions


WIDENINGS = [
    ({"type": "int"}, {"type": "long"}, 2**31 - 1, 2**31 - 1),
    ({"type": "int"}, {"type": "float"}, 2**31 - 1, float(2**31 - 1)),
    ({"type": "int"}, {"type": "decimal", "precision": 12, "scale": 2}, -7, Decimal("-7.00")),
    (
        {"type": "decimal", "precision": 10, "scale": 2},
        {"type": "decimal", "precision": 14, "scale": 4},
        Decimal("12345678.25"),
        Decimal("12345678.2500"),
    ),
    ({"type": "long"}, {"type": "string"}, 2**62, str(2**62)),
    ({"type": "bool"}, {"type": "string"}, True, "true"),
    ({"type": "date"}, {"type": "string"}, date(2026, 1, 2), "2026-01-02"),
]


@pytest.mark.parametrize(("old", "new", "before", "after"), WIDENINGS)
def test_a_wider_type_keeps_every_value_and_the_checkpoint(
    database: TenantDatabase, old: dict[str, Any], new: dict[str, Any], before: Any, after: Any
) -> None:
    write(database, object_of(F=old), {"Id": "1", "F": before}, {"Id": "2"})
    with_checkpoint(database, object_of())

    change = write(database, object_of(F=new))

    assert change == ShapeChange(widened=("F",))
    assert database.checkpoint("crm", "Account") is not None
    assert [row["F"] for row in read(database, object_of(F=new)).values()] == [after, None]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string", "int"),
        ("long", "int"),
        ("float", "decimal"),
        ("json", "strings"),
        ("long", "float"),
    ],
)
def test_a_type_that_could_lose_values_empties_its_column_and_asks_for_a_re_read(
    database: TenantDatabase, old: str, new: str
) -> None:
    samples = {"string": "5", "long": 5, "float": 5.5, "json": "[]"}
    write(database, object_of(F=old, G="int"), {"Id": "1", "F": samples[old], "G": 3})
    with_checkpoint(database, object_of())

    change = write(database, object_of(F=new, G="int"))

    assert change == ShapeChange(emptied=("F",))
    assert database.checkpoint("crm", "Account") is None
    assert read(database, object_of(F=new, G="int"))["1"] == {"Id": "1", "F": None, "G": 3}


def test_widening_is_never_claimed_for_types_that_overlap_only() -> None:
    small = FieldInfo(name="f", type="decimal", precision=10, scale=2)
    fine = FieldInfo(name="f", type="decimal", precision=10, scale=4)

    assert not widens(duckdb_type(small), duckdb_type(fine))
    assert not widens("BIGINT", "DOUBLE")


def test_a_field_that_goes_away_keeps_its_values_and_is_read_again_when_it_returns(
    database: TenantDatabase,
) -> None:
    both = object_of(Name="string", Tier="string")
    write(database, both, {"Id": "1", "Name": "a", "Tier": "gold"})

    assert write(database, object_of(Name="string")) == ShapeChange(retired=("Tier",))
    assert set(database.columns("crm", "Account")) == {"Id", "Name"}

    with_checkpoint(database, both)
    assert write(database, both) == ShapeChange(added=("Tier",))
    assert database.checkpoint("crm", "Account") is None
    assert read(database, both)["1"]["Tier"] == "gold"


def test_a_near_twin_of_a_field_moves_columns_without_losing_values(
    database: TenantDatabase,
) -> None:
    alone = object_of(Name="string")
    twins = object_of(Name="string", name="string")
    write(database, alone, {"Id": "1", "Name": "kept"})

    write(database, twins, {"Id": "2", "Name": "upper", "name": "lower"})
    assert read(database, twins) == {
        "1": {"Id": "1", "Name": "kept", "name": None},
        "2": {"Id": "2", "Name": "upper", "name": "lower"},
    }

    write(database, alone)
    assert {row["Name"] for row in read(database, alone).values()} == {"kept", "upper"}

    write(database, object_of(name="string"), {"Id": "3", "name": "third"})
    assert read(database, object_of(name="string"))["3"]["name"] == "third"


def test_an_object_whose_key_changed_starts_anew(database: TenantDatabase) -> None:
    write(database, object_of(Code="string"), {"Id": "1", "Code": "a"})
    rekeyed = object_of(Code="string").model_copy(update={"key": "Code"})

    with database.transaction() as transaction:
        assert transaction.ensure("crm", rekeyed).created

    assert database.count("crm", "Account") == 0


def test_objects_whose_names_differ_by_case_only_never_share_a_table(
    database: TenantDatabase,
) -> None:
    write(database, object_of("Account"), {"Id": "1"})

    with pytest.raises(ObjectNameError), database.transaction() as transaction:
        transaction.ensure("crm", object_of("account"))

    with database.transaction() as transaction:
        transaction.ensure("erp", object_of("account"))
    assert database.count("crm", "Account") == 1


def test_an_object_without_its_key_field_is_refused(database: TenantDatabase) -> None:
    keyless = object_of().model_copy(update={"key": "Nope"})

    with pytest.raises(ObjectKeyError), database.transaction() as transaction:
        transaction.ensure("crm", keyless)


def test_a_dropped_object_leaves_nothing_behind(database: TenantDatabase) -> None:
    write(database, object_of(Name="string"), {"Id": "1"})
    with_checkpoint(database, object_of())

    with database.transaction() as transaction:
        transaction.drop("crm", "Account")

    assert database.count("crm", "Account") == 0
    assert database.checkpoints() == []
    assert database.columns("crm", "Account") == {}
    assert ("crm", "Account") not in database.versions()
