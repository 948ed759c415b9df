"""Which types count only as far as their source confirms each record, for one person.

Takes policies, the person's rights and what is too old to do alone; Decisions receive the types to
be checked, and why others are denied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from firnline.access.at_source import AtSource
from firnline.access.model import SourceAccess
from firnline.connectors.manifest import Manifest
from firnline.connectors.registry import load_manifest
from firnline.spec.durations import duration
from firnline.spec.modes import VERDICT_AGE

if TYPE_CHECKING:
    from firnline.graph.shape import GraphObject, TenantGraph

Read = Mapping[str, Sequence[tuple[str, int]]]  # connection -> permission objects, their versions


def checked_at_source(
    graph: TenantGraph,
    sources: Mapping[str, SourceAccess],
    read: Read,
    too_old: Mapping[str, str],
) -> tuple[dict[str, AtSource], dict[str, str]]:
    """Return the types to be checked, and why others may not be shown.

    What is too old is checked where that says all that the permission records would have said,
    fields included; `mode: verify` takes their rights from the mirror where it must.
    """
    checked: dict[str, AtSource] = {}
    denied: dict[str, str] = {}
    rights = {name: _digest(versions) for name, versions in read.items()}
    for name, found in graph.objects.items():
        reason = too_old.get(name, "")
        if found.policy.mode != "verify" and not reason:
            continue
        manifest = load_manifest(graph.catalogs[found.connection].provider)
        if not _can_verify(manifest, found, is_for_all=bool(reason)):
            denied[name] = reason or f"{manifest.name} cannot be asked about single records of it"
            continue
        user_key = sources[found.connection].user_key
        checked[name] = AtSource(
            connection=found.connection,
            object=found.source.name,
            user_key=user_key or "",
            rights=rights[found.connection],
            kept_for=_kept_for(found),
            objects=_verifiable(graph, found.connection, manifest),
            reason=reason,
            asks_fields=manifest.verify is not None and manifest.verify.asks_fields,
        )
    return checked, denied


def _can_verify(manifest: Manifest, found: GraphObject, *, is_for_all: bool) -> bool:
    if not manifest.can_verify(found.source.name):
        return False
    assert manifest.verify is not None
    covers_fields = manifest.verify.covers_fields or manifest.verify.asks_fields
    return covers_fields or not is_for_all


def _verifiable(graph: TenantGraph, connection: str, manifest: Manifest) -> frozenset[str]:
    names = (each.name for each in graph.catalogs[connection].objects)
    return frozenset(name for name in names if manifest.can_verify(name))


def _kept_for(found: GraphObject) -> timedelta:
    return duration(found.policy.verified_for or VERDICT_AGE)


def _digest(versions: Sequence[tuple[str, int]]) -> str:
    return hashlib.sha256(repr(sorted(versions)).encode()).hexdigest()[:16]
