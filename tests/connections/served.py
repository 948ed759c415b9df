"""A project directory whose tenant's two systems are served, for whole commands.

Takes a directory; gives it with the offices behind the systems, which a thread of their own serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from joserfc.jwk import ECKey
from tests.connections.entered import served_in_thread
from tests.connections.office import CLIENT_SECRET, Office

from firnline.clock import SystemClock

PROJECT = """
version: 1
name: desk
objects:
  Thing:
    fields:
      id: {type: id}
access: {}
"""
TENANT = """
tenant: acme
connections:
  clips: {provider: paperclip, settings: {office: north}}
  staples: {provider: stapler, settings: {office: north}}
"""


@dataclass(frozen=True)
class Served:
    """The directory, and who answers for its systems."""

    directory: Path
    clips: Office
    staples: Office


@contextmanager
def served_project(
    directory: Path, monkeypatch: pytest.MonkeyPatch, person_key: ECKey
) -> Iterator[Served]:
    """Give a project with both providers running and their client files beside it."""
    clock = SystemClock()
    clips, staples = (Office(f"north.{name}.example", clock) for name in ("paperclip", "stapler"))
    staples.keys = {"key-ann": (person_key, "ann@north.test")}
    (directory / "firnline.yaml").write_text(PROJECT)
    (directory / "tenants").mkdir()
    (directory / "tenants" / "acme.yaml").write_text(TENANT)
    (directory / "key.pem").write_bytes(person_key.as_pem(private=True))
    (directory / "secret.txt").write_text(CLIENT_SECRET + "\n")
    monkeypatch.chdir(directory)
    monkeypatch.setenv("FIRNLINE_HOME", str(directory / "home"))
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    with served_in_thread(clips, staples) as routes:
        monkeypatch.setenv("FIRNLINE_ROUTES", orjson.dumps(routes).decode())
        yield Served(directory, clips, staples)
