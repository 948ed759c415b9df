"""Tiny CRM beside the real connectors, and small worlds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firnline.sandbox.seed import company
from firnline.sandbox.world import Company

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)


@pytest.fixture
def tinycrm(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "connectors"))
    yield "tinycrm"


@pytest.fixture(scope="session")
def acme() -> Company:
    return company("acme", scale=0.02, now=NOW)


@pytest.fixture(scope="session")
def globex() -> Company:
    return company("globex", scale=0.02, now=NOW)
