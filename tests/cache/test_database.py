"""One file per tenant: many readers, one writer, one process, nothing else reachable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from firnline.cache.database import TenantDatabase
from firnline.cache.opening import (
    CacheCorruptError,
    CacheError,
    CacheLockedError,
    NoDataYetError,
    QueryInterruptedError,
    QueryMemoryError,
    typed_errors,
)
from firnline.catalog.model import FieldInfo, ObjectInfo

DEAL = ObjectInfo(
    name="Deal",
    key="Id",
    fields=(FieldInfo(name="Id", type="id"), FieldInfo(name="Amount", type="long")),
)
SELECT = 'SELECT "Id", "Amount" FROM c_crm."Deal"'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "acme.duckdb"


@pytest.fixture
def database(path: Path) -> Iterator[TenantDatabase]:
    opened = TenantDatabase.open(path, memory="200MB")
    yield opened
    opened.close()


def write(database: TenantDatabase, amount: int, *, count: int = 100) -> None:
    """Give all deals the same amount, so that a mixture of versions would show."""
    rows = pa.table(
        {"Id": [str(n) for n in range(count)], "Amount": pa.array([amount] * count, pa.int64())}
    )
    with database.transaction() as transaction:
        transaction.ensure("crm", DEAL)
        transaction.upsert("crm", DEAL, rows, run=str(amount))


def test_a_snapshot_sees_one_version_while_others_commit(database: TenantDatabase) -> None:
    write(database, 1)
    with database.snapshot() as snapshot:
        write(database, 2)
        first = snapshot.fetch(SELECT)
        write(database, 3)

        assert set(first["Amount"].to_pylist()) == {1}
        assert snapshot.fetch(SELECT) == first
        assert snapshot.versions[("crm", "Deal")] < database.versions()[("crm", "Deal")]
    with database.snapshot() as later:
        assert set(later.fetch(SELECT)["Amount"].to_pylist()) == {3}
        assert later.versions == database.versions()


def test_many_threads_read_whole_versions_while_one_writes(database: TenantDatabase) -> None:
    write(database, 0)
    done = threading.Event()
    seen: set[int] = set()

    def read_on() -> None:
        while not done.is_set():
            with database.snapshot() as snapshot:
                version = snapshot.versions
                amounts = set(snapshot.fetch(SELECT)["Amount"].to_pylist())
                assert len(amounts) == 1, "a mixture of versions"
                assert snapshot.versions == version
                seen.update(amounts)

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_on) for _ in range(4)]
        for amount in range(1, 15):
            write(database, amount)
        done.set()
        for reader in readers:
            reader.result(timeout=30)
    assert len(seen) > 1


def test_one_snapshot_serves_several_threads(database: TenantDatabase) -> None:
    write(database, 7)
    with database.snapshot() as snapshot, ThreadPoolExecutor(4) as pool:
        tables = list(pool.map(lambda _: snapshot.fetch(SELECT), range(12)))

    assert all(table == tables[0] for table in tables)


def test_writers_take_turns(database: TenantDatabase) -> None:
    write(database, 0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda amount: write(database, amount), range(1, 9)))

    with database.snapshot() as snapshot:
        assert len(set(snapshot.fetch(SELECT)["Amount"].to_pylist())) == 1


def test_a_failed_transaction_leaves_rows_versions_and_the_next_writer_alone(
    database: TenantDatabase,
) -> None:
    write(database, 1)
    versions = database.versions()

    with pytest.raises(ZeroDivisionError), database.transaction() as transaction:
        transaction.delete("crm", DEAL, ["1"])
        raise ZeroDivisionError

    assert database.count("crm", "Deal") == 100
    assert database.versions() == versions
    write(database, 2)
    assert database.versions() != versions


def test_a_version_rises_with_every_change_and_only_for_what_changed(
    database: TenantDatabase,
) -> None:
    write(database, 1)
    other = DEAL.model_copy(update={"name": "Other"})
    with database.transaction() as transaction:
        transaction.ensure("crm", other)
    before = database.versions()

    with database.transaction() as transaction:
        assert transaction.delete("crm", DEAL, ["nobody"]) == 0
    assert database.versions() == before

    with database.transaction() as transaction:
        transaction.delete("crm", DEAL, ["1"])
    after = database.versions()
    assert after[("crm", "Deal")] > before[("crm", "Deal")]
    assert after[("crm", "Other")] == before[("crm", "Other")]


def test_a_version_never_comes_back_when_an_object_is_dropped_and_made_again(
    database: TenantDatabase,
) -> None:
    write(database, 1)
    old = database.versions()[("crm", "Deal")]
    with database.transaction() as transaction:
        transaction.drop("crm", "Deal")

    write(database, 1)

    assert database.versions()[("crm", "Deal")] > old


def test_everything_is_there_after_closing_and_opening(path: Path) -> None:
    database = TenantDatabase.open(path)
    write(database, 5)
    versions = database.versions()
    database.close()

    reopened = TenantDatabase.open(path, read_only=True)

    assert reopened.versions() == versions
    assert reopened.count("crm", "Deal") == 100
    with pytest.raises(CacheError), reopened.transaction():
        pass
    reopened.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT getenv('HOME')",
        "ATTACH '/tmp/firnline-other.duckdb'",
        "COPY (SELECT 1) TO '/tmp/firnline-leak.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "PRAGMA memory_limit = '100GB'",
        "SELECT * FROM pa",
    ],
)
def test_sql_cannot_reach_outside_the_file_or_unlock_it(database: TenantDatabase, sql: str) -> None:
    with database.snapshot() as snapshot, pytest.raises(CacheError) as refused:
        snapshot.fetch(sql)

    assert sql not in str(refused.value)


def test_a_refused_statement_does_not_spoil_the_next_snapshot(database: TenantDatabase) -> None:
    for _ in range(3):
        with database.snapshot() as snapshot, pytest.raises(CacheError):
            snapshot.fetch("SELECT nonsense")
    write(database, 1)
    assert database.count("crm", "Deal") == 100


ENDLESS = "SELECT max(hash(i)) FROM range(100000000000) t(i)"


def test_a_running_query_can_be_stopped_from_another_thread(database: TenantDatabase) -> None:
    with database.snapshot() as snapshot:
        timer = threading.Timer(0.2, snapshot.interrupt)
        timer.start()
        with pytest.raises(QueryInterruptedError):
            snapshot.fetch(ENDLESS)
        timer.join()
    with database.snapshot() as snapshot:
        assert snapshot.fetch("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_stopped_snapshot_starts_nothing_more(database: TenantDatabase) -> None:
    with database.snapshot() as snapshot:
        snapshot.interrupt()
        with pytest.raises(QueryInterruptedError):
            snapshot.fetch("SELECT 1")


def test_closing_stops_what_runs(path: Path) -> None:
    database = TenantDatabase.open(path)

    def run() -> None:
        with pytest.raises(CacheError), database.snapshot() as snapshot:
            snapshot.fetch(ENDLESS)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    database.close()
    thread.join(timeout=20)

    assert not thread.is_alive()
    with pytest.raises(CacheError), database.snapshot():
        pass


def test_a_query_over_the_memory_limit_ends_alone(database: TenantDatabase) -> None:
    with database.snapshot() as snapshot, pytest.raises(QueryMemoryError):
        snapshot.fetch("SELECT list(i::VARCHAR || repeat('x', 100)) FROM range(20000000) t(i)")
    write(database, 1)
    assert database.count("crm", "Deal") == 100


def in_another_process(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


OPEN_AND_TELL = """
import sys
from pathlib import Path
from firnline.cache.database import TenantDatabase
from firnline.errors import FirnlineError
try:
    TenantDatabase.open(Path(sys.argv[1]))
except FirnlineError as error:
    print(error.code, error.retryable, bool(error.hint), error)
"""


def test_a_second_process_is_told_that_the_cache_is_locked(
    database: TenantDatabase, path: Path
) -> None:
    write(database, 1)

    told = in_another_process(OPEN_AND_TELL, path)

    assert told.stdout.startswith("cache_locked True True")
    assert told.stderr == ""
    assert path.exists(), "a locked file is not taken for a damaged one"
    assert database.count("crm", "Deal") == 100


def test_the_same_file_with_other_settings_in_this_process_is_locked_too(
    database: TenantDatabase, path: Path
) -> None:
    with pytest.raises(CacheLockedError):
        TenantDatabase.open(path, read_only=True)


WRITE_FOREVER = """
import sys, os
from pathlib import Path
import pyarrow as pa
from firnline.cache.database import TenantDatabase
from firnline.catalog.model import FieldInfo, ObjectInfo
deal = ObjectInfo(name="Deal", key="Id", fields=(
    FieldInfo(name="Id", type="id"), FieldInfo(name="Amount", type="long")))
database = TenantDatabase.open(Path(sys.argv[1]))
amount = 0
while True:
    amount += 1
    rows = pa.table({"Id": [str(n) for n in range(2000)],
                     "Amount": pa.array([amount] * 2000, pa.int64())})
    with database.transaction() as transaction:
        transaction.ensure("crm", deal)
        transaction.upsert("crm", deal, rows, run="r")
        if amount == 3:
            print("writing", flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.011, 0.05])
def test_kill_in_the_middle_of_writing_leaves_a_whole_version(path: Path, delay_s: float) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    time.sleep(delay_s)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()

    database = TenantDatabase.open(path)
    with database.snapshot() as snapshot:
        amounts = snapshot.fetch(SELECT)["Amount"].to_pylist()
    assert len(amounts) == 2000
    assert len(set(amounts)) == 1
    assert amounts[0] >= 2
    write(database, -1, count=2000)
    database.close()


DAMAGES = {
    "not a database": lambda content: b"x" * len(content),
    "cut off": lambda content: content[:5000],
    "empty": lambda _: b"",
    "header overwritten": lambda content: content[:8] + bytes(200) + content[208:],
    "block overwritten": lambda content: content[:4096] + os.urandom(8192) + content[12288:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_moved_aside_and_the_next_opening_starts_anew(
    path: Path, damage: str
) -> None:
    database = TenantDatabase.open(path)
    write(database, 1)
    database.close()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))

    with pytest.raises(CacheCorruptError) as damaged:
        TenantDatabase.open(path)

    assert "firnline sync acme" in damaged.value.hint
    assert path.with_name("acme.duckdb.corrupt-1").exists()
    again = TenantDatabase.open(path)
    assert again.versions() == {}
    again.close()


def test_damage_that_only_a_statement_finds_is_told_as_damage(path: Path) -> None:
    """DuckDB checks a block when it reads it: opening the file succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(str(path))
    connection.execute("CREATE TABLE rows AS SELECT hash(range) AS x FROM range(200000)")
    connection.close()
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + os.urandom(4096) + content[middle + 4096 :])
    damaged = duckdb.connect(str(path))

    with pytest.raises(CacheCorruptError) as caught, typed_errors("acme"):
        damaged.execute("SELECT sum(x::HUGEINT) FROM rows").fetchall()

    assert "Remove acme.duckdb" in caught.value.hint
    damaged.close()


def test_reading_before_the_first_sync_says_what_to_do(path: Path) -> None:
    with pytest.raises(NoDataYetError) as missing:
        TenantDatabase.open(path, read_only=True)

    assert missing.value.code == "no_data_yet"
    assert "firnline sync acme" in missing.value.hint
    assert not path.exists()


def test_the_file_is_the_owners_alone(database: TenantDatabase, path: Path) -> None:
    write(database, 1)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
