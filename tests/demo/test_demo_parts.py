"""The demo's parts: its directory, its date, its words, and how it says that answers differ."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console

from firnline.demo.comparing import Compared, Live
from firnline.demo.home import DemoHomeError, demo_home, demo_settings
from firnline.demo.printing import times
from firnline.demo.question import PROJECT, Asked, quarter_end
from firnline.demo.wording import Wording, soql, suiteql, wordings
from firnline.graph.answer import Answer
from firnline.spec.effective import effective_mappings
from firnline.spec.load import load_project

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def test_home_with_anything_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DemoHomeError), demo_home(tmp_path, keep=False):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_home_of_an_earlier_demo_is_emptied_unless_kept(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    with demo_home(home, keep=False):
        (home / "cache").mkdir()
        (home / "cache" / "acme.duckdb").touch()
    with demo_home(home, keep=True):
        assert (home / "cache" / "acme.duckdb").exists()
    with demo_home(home, keep=False):
        assert not (home / "cache").exists()


def test_home_that_leads_elsewhere_by_link_loses_the_link_only(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with demo_home(tmp_path / "home", keep=False) as home:
        (home / "link").symlink_to(outside)
    with demo_home(tmp_path / "home", keep=False):
        assert not (home / "link").is_symlink()
    assert (outside / "kept").exists()


def test_second_demo_in_the_same_home_is_refused(tmp_path: Path) -> None:
    with (
        demo_home(tmp_path / "home", keep=False) as home,
        pytest.raises(DemoHomeError, match="another demo"),
        demo_home(home, keep=False),
    ):
        pass


def test_settings_ignore_the_installation_around_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("FIRNLINE_DUCKDB_MEMORY=7GB\n")
    monkeypatch.setenv("FIRNLINE_DATABASE_URL", "postgresql://production/firnline")
    monkeypatch.setenv("FIRNLINE_HOME", "/srv/firnline")
    settings = demo_settings(tmp_path / "home", {}, public_url="http://127.0.0.1:1")
    assert (settings.home, bool(settings.database_url)) == (tmp_path / "home", False)
    assert settings.duckdb_memory != "7GB"


@pytest.mark.parametrize(
    ("today", "end"),
    [
        (date(2026, 1, 1), date(2026, 3, 31)),
        (date(2026, 3, 1), date(2026, 3, 31)),
        (date(2026, 3, 2), date(2026, 6, 30)),
        (date(2026, 11, 22), date(2026, 12, 31)),
        (date(2026, 12, 31), date(2027, 3, 31)),
    ],
    ids=str,
)
def test_quarter_end_leaves_at_least_thirty_days(today: date, end: date) -> None:
    assert quarter_end(today) == end


def words_of(tenant: str, name: str) -> Wording:
    return wordings(effective_mappings(load_project(PROJECT), tenant), NOW)[name]


def test_wording_speaks_each_tenant_s_own_words() -> None:
    acme, globex = words_of("acme", "Deal"), words_of("globex", "Deal")
    assert (acme.path("type"), acme.stored("type", "Renewal")) == ("Type", ["Renewal"])
    assert (globex.path("type"), globex.stored("type", "Renewal")) == (
        "Deal_Category__c",
        ["Vertragsverlängerung"],
    )
    assert acme.holds("isOpen", soql) == "IsClosed = false"
    assert globex.holds("isOpen", soql) == (
        "NOT Sales_Phase__c IN ('6-Signed', '9-Dead') AND Sales_Phase__c != null"
    )
    # Kept words may also be stored as they are.
    kept = words_of("globex", "Meeting").stored("type", "QBR")
    assert kept == ["Quarterly Business Review", "QBR"]
    assert words_of("globex", "Ticket").word("priority", ["vip", "prio_high"]) == "high"
    assert words_of("acme", "Invoice").holds("isOverdue", suiteql, prefix="t.") == (
        "t.status = 'A' AND t.duedate < TO_DATE('2026-11-22', 'YYYY-MM-DD')"
        " AND t.foreignamountunpaid > 0"
    )


@pytest.mark.parametrize(
    ("write", "literal"), [(soql, r"'O\'Brien \\ Co'"), (suiteql, r"'O''Brien \ Co'")]
)
def test_literals_cannot_leave_their_quotes(write, literal: str) -> None:
    assert write("O'Brien \\ Co") == literal


def test_different_live_answer_is_said_loudly() -> None:
    asked = Asked("rep@acme.example", Answer(b'{"deals":{"nodes":[]}}'), 9.0, 3.0)
    other = Live({"deals": {"nodes": [{"name": "secret"}]}}, 3000.0, 5)
    console = Console(width=80, record=True, file=io.StringIO())
    times(console, {"acme": {"rep": Compared(asked, other)}})
    said = console.export_text()
    assert "NO" in said
    assert "The live answers differ from the cached ones." in said


def test_live_answer_that_never_came_is_neither_equal_nor_different() -> None:
    asked = Asked("rep@acme.example", Answer(b'{"deals":{"nodes":[]}}'), 9.0, 3.0)
    late = Compared(asked, Live(None, 120_000.0, 800))
    assert late.as_dict()["live_equal"] is None
