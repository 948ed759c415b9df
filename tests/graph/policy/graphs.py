"""The graph of the tests' tenant under policies of a test's own, without any data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.graph.world import CATALOGS, NOW, PROJECT

from firnline.access.principal import Principal
from firnline.access.ruling import Ruling
from firnline.graph.policy.binding import rulings
from firnline.graph.policy.condition_age import ConditionAges
from firnline.graph.policy.reduction import without_hidden
from firnline.graph.shape import TenantGraph, build_graph, everything_stored
from firnline.spec.load import load_project
from firnline.spec.model import ObjectPolicy


def frozen(value: Any) -> Any:
    """Return parts of a spec as loading gives them: lists as tuples."""
    if isinstance(value, Mapping):
        return {name: frozen(each) for name, each in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


@cache
def plain_graph() -> TenantGraph:
    """Return the graph that mirrors everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parents[1] / "connectors"))
        return build_graph(load_project(PROJECT), "acme", CATALOGS)


def graph(**policies: Mapping[str, Any]) -> TenantGraph:
    """Return the graph with these policies for some types."""
    plain = plain_graph()
    objects = {
        name: replace(
            found, policy=ObjectPolicy.model_validate({"mode": "mirror", **frozen(policies[name])})
        )
        if name in policies
        else found
        for name, found in plain.objects.items()
    }
    return replace(plain, objects=without_hidden(objects))


def person(**facts: Any) -> Principal:
    """Return a principal of the tenant."""
    return Principal("acme", "all@x.test", **facts)


def bound(
    given: TenantGraph,
    who: Principal | None = None,
    *,
    stored: Mapping[str, Mapping[str, frozenset[str]]] | None = None,
    ages: ConditionAges | None = None,
) -> dict[str, Ruling]:
    """Return the rulings on a graph; everything was synced unless `stored` says otherwise."""
    return rulings(
        given,
        who or person(),
        stored=everything_stored(given) if stored is None else stored,
        ages=ages or ConditionAges("acme", None, NOW),
    )


def ruling(
    policy: Mapping[str, Any], who: Principal | None = None, *, name: str = "Deal", **more: Any
) -> Ruling:
    """Return the ruling on deals under a policy of theirs."""
    return bound(graph(**{name: policy}), who, **more)[name]
