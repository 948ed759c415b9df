"""Worlds whose integration has a policy of the test's own; questions by any principal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from tests.graph.world import PROJECT, World, seeded

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.memory.tables import ResidentTables

MIRROR = {"*": {"mode": "mirror"}}


def with_policy(
    home: Path,
    access: Mapping[str, Any],
    *,
    tenant: Mapping[str, Any] | None = None,
    is_resident: bool = False,
) -> World:
    """Return a filled world of acme under a policy; `access` merges over mirroring everything."""
    project = home / "project"
    (project / "tenants").mkdir(parents=True)
    declared, _, _ = (PROJECT / "firnline.yaml").read_text().partition("\naccess:")
    policy = {
        **access,
        "objects": {**MIRROR, **access.get("objects", {})},
        "providers": {"alpine": MIRROR, "basalt": MIRROR, **access.get("providers", {})},
    }
    (project / "firnline.yaml").write_text(f"{declared}\naccess: {json.dumps(policy)}\n")
    for name in ("acme", "beta"):
        own = (PROJECT / "tenants" / "acme.yaml").read_text().replace("acme", name)
        narrowing = f"access: {json.dumps(tenant)}\n" if tenant and name == "acme" else ""
        (project / "tenants" / f"{name}.yaml").write_text(own + narrowing)
    world = World.open(home, project)
    if is_resident:
        world.resident = ResidentTables(1 << 28)
        world.renew()
    for name in ("acme", "beta"):
        world.fill(seeded(), name)
    return world


def asked(
    world: World, text: str, principal: Principal, variables: Mapping[str, Any] | None = None
) -> Any:
    """Return the whole response as JSON carries it."""
    answer = world.runner.run(world.responder.answer(principal, Question(text, None, variables)))
    return orjson.loads(answer.body())


def person(email: str = "all@x.test", tenant: str = "acme", **facts: Any) -> Principal:
    """Return a principal with any facts."""
    return Principal(tenant=tenant, email=email, **facts)
