"""What README.md says of measured figures: exactly what the result files hold."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

pytest.importorskip("matplotlib", reason="the benchmarks draw plots")

from benchmarks.words import in_figures, run_of, targets

from benchmarks import readme


def _recorded(name: str) -> dict[str, Any]:
    path = readme.ROOT / "benchmarks" / "results" / f"{name}.json"
    return dict(orjson.loads(path.read_bytes()))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.254, "0.25"),
        (0.031, "0.031"),
        (0, "0"),
        (3.0, "3"),
        (4.555, "4.55"),
        (45.71, "45.7"),
        (4858.3, "4,858"),
    ],
)
def test_figure_keeps_its_first_digits(value: float, text: str) -> None:
    assert in_figures(value) == text


@pytest.mark.parametrize("name", readme.SECTIONS)
def test_readme_has_the_section_of_every_benchmark_with_its_command_and_plot(name: str) -> None:
    text = readme.README.read_text("utf-8")
    assert f"<!-- benchmarks:{name} -->" in text
    assert f"benchmarks/results/{name}.png" in text
    assert f"make bench NAME={name}" in text


@pytest.mark.parametrize("name", ["read", "schema"])
def test_section_shows_every_target_as_it_was_judged(name: str) -> None:
    result = _recorded(name)
    section = readme.SECTIONS[name](result)
    for line in targets(result):
        assert line in section
    other = [each | {"met": not each["met"]} for each in result["targets"]]
    assert readme.SECTIONS[name](result | {"targets": other}) != section


@pytest.mark.parametrize("name", ["read", "schema"])
def test_section_says_when_the_run_was_a_quick_one(name: str) -> None:
    result = _recorded(name)
    for is_quick in (True, False):
        one = result | {"quick": is_quick}
        assert ("quick run" in run_of(one)) is is_quick
        assert run_of(one) in readme.SECTIONS[name](one)


def test_read_section_leaves_out_what_was_not_measured() -> None:
    result = _recorded("read")
    figures = {name: each for name, each in result["figures"].items() if name != "group"}
    section = readme.SECTIONS["read"](result | {"figures": figures})
    assert "tickets grouped by" not in section
    settings = result["settings"] | {"has_response_cache": False}
    assert "Response cache on" not in readme.SECTIONS["read"](result | {"settings": settings})
