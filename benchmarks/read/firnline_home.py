"""Puts the data set into a Firnline home, as discovery and sync would have left it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.read.dataset import CATALOG, NOW
from benchmarks.synced import write_synced
from firnline.access.signing import DevelopmentSigner
from firnline.clock import SystemClock
from firnline.settings import Settings

HERE = Path(__file__).parent
PROJECT = HERE / "project"
TENANT, CONNECTION = "bench", "crm"
_TOKEN_S = 24 * 3600


def environment(home: Path, *, response_cache_mb: int = 0) -> dict[str, str]:
    """Return the environment in which `firnline serve` answers from `home`; 0 is no cache."""
    return os.environ | {
        "FIRNLINE_RESPONSE_CACHE_MB": str(response_cache_mb),
        "FIRNLINE_HOME": str(home),
        "FIRNLINE_CONNECTORS": str(HERE / "connectors"),
        "FIRNLINE_DEVELOPMENT": "false",
        "FIRNLINE_JWT_KEYS": (home / "jwt" / "public.json").read_text("utf-8"),
    }


async def fill(home: Path, tables: Mapping[str, Any]) -> None:
    """Write catalog, rows and checkpoints; make the key that signs the load's tokens."""
    await write_synced(home, CATALOG, tables, tenant=TENANT, connection=CONNECTION, at=NOW)
    DevelopmentSigner.from_settings(Settings(home=home), clock=SystemClock())


def token(home: Path, email: str) -> str:
    """Return a bearer token for one person, longer-lived than any run."""
    signer = DevelopmentSigner.from_settings(Settings(home=home), clock=SystemClock())
    return signer.issue_token(TENANT, email, _TOKEN_S)
