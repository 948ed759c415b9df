"""A copy of the demo project that a test may break in one place."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from firnline.spec.load import load_project
from firnline.spec.model import Project
from firnline.spec.problems import Problem, SpecError

DEMO = Path(__file__).resolve().parents[2] / "src" / "firnline" / "demo" / "project"


@dataclass(frozen=True)
class Copy:
    """A project directory of the test's own."""

    directory: Path

    def text(self, file: str) -> str:
        return (self.directory / file).read_text("utf-8")

    def write(self, file: str, text: str) -> None:
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace the first `old` of `file`, which must be there."""
        text = self.text(file)
        assert old in text, f"{file} no longer holds {old!r}"
        self.write(file, text.replace(old, new, 1))

    def append(self, file: str, more: str) -> None:
        self.write(file, self.text(file) + more)

    def load(self) -> Project:
        return load_project(self.directory)

    def problems(self) -> tuple[Problem, ...]:
        """Return the problems of the project, which must have some."""
        with pytest.raises(SpecError) as caught:
            self.load()
        return caught.value.problems

    def problem(self) -> Problem:
        """Return the project's only problem."""
        found = self.problems()
        assert len(found) == 1, listed(found)
        return found[0]

    def pointed_at(self, problem: Problem) -> str:
        """Return the rest of the line that the problem points at."""
        line = self.text(problem.file).splitlines()[problem.line - 1]
        return line[problem.column - 1 :]


def listed(problems: Iterable[Problem]) -> str:
    return "\n".join(str(problem) for problem in problems)


@pytest.fixture
def demo() -> Path:
    return DEMO


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    directory = tmp_path / "project"
    shutil.copytree(DEMO, directory)
    return Copy(directory)
