"""`firnline sync` and `firnline discover`: facts on stdout, remarks on stderr, exit codes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from firnline.catalog.diff import CatalogDiff, ObjectDiff, Retyped
from firnline.catalog.discovery import Discovered, DiscoveryReport
from firnline.catalog.mapping import MappingError
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.errors import UsageError
from firnline.sync.normalize import Quarantined
from firnline.sync.report import ObjectReport, SyncProgress, SyncReport, Trouble

DEAL = ObjectInfo(name="Deal[red]", key="Id", fields=(FieldInfo(name="Id", type="id"),))


class FakeApp:
    """Answers as an application would; remembers what it was asked."""

    def __init__(self, report: Any) -> None:
        self.report = report
        self.problems: list[MappingError] = []
        self.asked: dict[str, Any] = {}

    async def mapping_problems(self, _tenant: str) -> list[MappingError]:
        return self.problems

    async def sync(
        self, tenant: str, names: Sequence[str], *, on_progress: Any, **asked: Any
    ) -> Any:
        self.asked = {"tenant": tenant, "names": list(names), **asked}
        for rows in (0, 10):
            on_progress(SyncProgress("crm", "Deal", rows, rows // 10, done=rows == 10))
        return self.report

    async def discover(self, tenant: str, names: Sequence[str]) -> Any:
        self.asked = {"tenant": tenant, "names": list(names)}
        return self.report


def invoke(
    monkeypatch: pytest.MonkeyPatch, module: str, report: Any, *arguments: str
) -> tuple[Any, FakeApp]:
    app = FakeApp(report)

    @asynccontextmanager
    async def opened(_directory: Path, **_options: Any) -> AsyncIterator[FakeApp]:
        yield app

    found = import_module(f"firnline.cli.{module}")
    monkeypatch.setattr(found, "opened", opened)
    root = typer.Typer()
    root.command()(getattr(found, module))
    return CliRunner().invoke(root, ["acme", *arguments]), app


def sync_report(**changes: Any) -> SyncReport:
    one = ObjectReport("crm", "Deal", pages=1, rows=10, upserts=10)
    for name, value in changes.items():
        setattr(one, name, value)
    return SyncReport("acme", datetime(2026, 11, 1, tzinfo=UTC), 1.5, (one,))


def test_sync_prints_its_report_as_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    result, app = invoke(
        monkeypatch, "sync", sync_report(), "--json", "--full", "-c", "crm", "-o", "Deal"
    )

    assert result.exit_code == 0
    facts = orjson.loads(result.stdout)
    assert facts["ok"] is True
    assert facts["objects"][0]["rows"] == 10
    assert app.asked == {"tenant": "acme", "names": ["crm"], "only": ["Deal"], "full": True}


def test_sync_ends_with_exit_code_1_and_the_next_step_when_an_object_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trouble = Trouble("read_refused", "no access to [bold]Deal", "Give it access.")

    result, _ = invoke(monkeypatch, "sync", sync_report(trouble=trouble))

    assert result.exit_code == 1
    assert "failed" in result.stdout
    assert "[read_refused] crm.Deal: no access to [bold]Deal" in result.stderr
    assert "Give it access." in result.stderr


def test_sync_says_once_what_many_objects_failed_of(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble("provider_unreachable", "no answer", "Try again.")
    report = sync_report(trouble=trouble)
    objects = tuple(ObjectReport("crm", f"Object{n}", trouble=trouble) for n in range(9))

    result, _ = invoke(monkeypatch, "sync", replace(report, objects=objects))

    assert result.exit_code == 1
    assert result.stderr.count("no answer") == 1
    assert "crm.Object0, crm.Object1, crm.Object2 and 6 more" in result.stderr


def test_sync_tells_of_held_deletions_and_quarantined_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = Quarantined("Deal", "006", "Amount", "expected a number, got text of 3 characters")

    result, _ = invoke(
        monkeypatch, "sync", sync_report(held=120, quarantined=[bad], quarantined_count=1)
    )

    assert result.exit_code == 0
    assert "firnline sync acme --full" in result.stderr
    assert "006 Amount: expected a number" in result.stderr


def discovery_report(changes: CatalogDiff, **failures: Any) -> DiscoveryReport:
    catalog = Catalog(provider="fake", objects=(DEAL,))
    found = Discovered("crm", 2, catalog, changes, is_first=False)
    return DiscoveryReport("acme", (found,), failures)


def test_discover_lists_objects_and_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = CatalogDiff(
        objects_added=("New__c",),
        objects_changed=(
            ObjectDiff(
                object="Deal",
                fields_removed=("Old",),
                retyped=(Retyped(field="Stage", old="int", new="string"),),
            ),
        ),
    )

    result, _ = invoke(monkeypatch, "discover", discovery_report(changes))

    assert result.exit_code == 0
    assert "Deal[red]" in result.stdout
    assert "+ New__c" in result.stdout
    assert "- Deal.Old" in result.stdout
    assert "~ Deal.Stage: int is now string" in result.stdout


def test_discover_ends_with_exit_code_1_when_a_system_could_not_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = discovery_report(CatalogDiff(), erp=UsageError("not today", hint="Try tomorrow."))

    shown, _ = invoke(monkeypatch, "discover", failed)
    as_json, _ = invoke(monkeypatch, "discover", failed, "--json")

    assert (shown.exit_code, as_json.exit_code) == (1, 1)
    assert "erp: not today" in shown.stderr
    assert orjson.loads(as_json.stdout)["errors"]["erp"]["hint"] == "Try tomorrow."
