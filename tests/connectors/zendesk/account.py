"""Seeded Zendesk accounts for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from firnline.connectors.registry import load_sandbox_module
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.world import Company

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@cache
def world(tenant: str) -> Company:
    return company(tenant, scale=0.02, now=NOW)


def open_account(
    tenant: str = "acme", *, limits: bool = False, lifetime_s: int = 3600, **switches: Any
) -> Any:
    options = SandboxOptions(
        seed=7, now=NOW, limits=limits, token_lifetime_s=lifetime_s, switches=switches
    )
    return load_sandbox_module("zendesk").create(world(tenant), options)


def fault(path: str, status: int, body: Any = None, **headers: str) -> Any:
    made = load_sandbox_module("zendesk").Fault
    return made(path, status=status, body=body or {"error": "Forbidden"}, headers=headers)
