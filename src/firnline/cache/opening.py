"""Opens a tenant's DuckDB file, locked down, and names what is wrong when it cannot.

Takes a path; `cache.database` receives the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from firnline.errors import FirnlineError


class CacheError(FirnlineError):
    """The cache of a tenant could not do what was asked."""

    code = "cache_failed"


class CacheLockedError(CacheError):
    """Another process has the tenant's cache open."""

    code = "cache_locked"
    retryable = True
    status = 503

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"the cache of tenant {tenant!r} is open in another process",
            hint="Stop the other firnline process, or ask it: a cache has one process at a time.",
        )


class CacheCorruptError(CacheError):
    """The tenant's cache file is damaged; it holds nothing that sync cannot bring back."""

    code = "cache_corrupt"
    status = 503

    def __init__(self, tenant: str, aside: Path | None = None) -> None:
        moved = f" and was moved aside to {aside.name}" if aside else ""
        first = "Run" if aside else f"Remove {tenant}.duckdb from FIRNLINE_HOME/cache, then run"
        super().__init__(
            f"the cache file of tenant {tenant!r} is damaged{moved}",
            hint=f"{first} `firnline sync {tenant}` to fill it again from the providers.",
        )


class NoDataYetError(CacheError):
    """Nothing of this tenant has been synced."""

    code = "no_data_yet"
    retryable = True
    status = 409

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"tenant {tenant!r} has no data yet", hint=f"Run `firnline sync {tenant}` first."
        )


class QueryInterruptedError(CacheError):
    """The statement was stopped: its deadline passed, or the cache is closing."""

    code = "query_interrupted"
    retryable = True
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "the query was stopped before it was done",
            hint="Ask for less at a time: a narrower filter or a smaller page.",
        )


class QueryMemoryError(CacheError):
    """The statement needs more memory than one tenant's cache may use."""

    code = "query_memory"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "the query needs more memory than the cache may use",
            hint="Ask for less at a time, or raise FIRNLINE_DUCKDB_MEMORY.",
        )


FileMark = tuple[int, int, int] | None


def file_mark(path: Path) -> FileMark:
    """Return what differs once somebody wrote the file, None when there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


_LOCKED_SIGNS = ("could not set lock", "different configuration than existing")
_CORRUPT_SIGNS = (
    "not a valid duckdb database",
    "corrupt",
    "checksum",
    "could not read enough bytes",
    "failure while replaying wal",
    "failed to deserialize",
)


def connect_locked_down(
    path: Path, *, read_only: bool, memory: str, threads: int
) -> duckdb.DuckDBPyConnection:
    """Open `path` without access to anything but itself.

    Raises NoDataYetError, CacheLockedError, CacheCorruptError (the file is moved aside) or
    CacheError.
    """
    tenant = path.stem
    if read_only and not path.is_file():
        raise NoDataYetError(tenant)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        connection = duckdb.connect(
            str(path),
            read_only=read_only,
            config={
                "memory_limit": memory,
                "threads": threads,
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
            },
        )
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute("SET GLOBAL enable_external_access = false")
        connection.execute("SET GLOBAL lock_configuration = true")
    except duckdb.Error as error:
        raise _opening_error(path, tenant, error) from error
    if not read_only:
        path.chmod(0o600)
    return connection


def _opening_error(path: Path, tenant: str, error: duckdb.Error) -> CacheError:
    text = str(error).lower()
    if any(sign in text for sign in _LOCKED_SIGNS):
        return CacheLockedError(tenant)
    if _is_corrupt(error):
        return CacheCorruptError(tenant, _move_aside(path))
    return CacheError(
        f"the cache file of tenant {tenant!r} cannot be opened: {type(error).__name__}",
        hint="Check that FIRNLINE_HOME is writable and was written by this version of Firnline.",
    )


def _is_corrupt(error: duckdb.Error) -> bool:
    return any(sign in str(error).lower() for sign in _CORRUPT_SIGNS)


def _move_aside(path: Path) -> Path:
    """Rename the damaged file and its log; keep the log's name beside it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    path.rename(aside)
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        log.rename(aside.with_name(f"{aside.name}.wal"))
    return aside


@contextmanager
def typed_errors(tenant: str) -> Iterator[None]:
    """Turn DuckDB's own errors into the cache's."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryInterruptedError from error
    except duckdb.OutOfMemoryException as error:
        raise QueryMemoryError from error
    except (duckdb.FatalException, duckdb.IOException, duckdb.InternalException) as error:
        if _is_corrupt(error):
            raise CacheCorruptError(tenant) from error
        raise CacheError(
            f"the cache of tenant {tenant!r} failed: {type(error).__name__}",
            hint="Check the disk under FIRNLINE_HOME, then restart.",
        ) from error
    except duckdb.Error as error:
        # A block whose checksum is wrong is a bare Error, found only when the block is read.
        if type(error) is duckdb.Error and _is_corrupt(error):
            raise CacheCorruptError(tenant) from error
        # The driver's text quotes SQL and values, which the caller may not see: it stays as the
        # cause, for the log.
        raise CacheError(
            f"the cache of tenant {tenant!r} refused a statement: {type(error).__name__}",
            hint="This is a fault of Firnline: please report it with the log.",
        ) from error
