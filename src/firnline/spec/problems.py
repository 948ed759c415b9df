"""What is wrong with a spec, and exactly where: given by load and check, printed by the CLI."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from firnline.errors import FirnlineError

_SHOWN_MAX = 60
_LISTED_MAX = 12
_COMPARED_MAX = 200


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. `file` is relative to the project, `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """Return the form that editors and CI systems recognise."""
        return f"{self.file}:{self.line}:{self.column}: error[{self.code}]: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        facts: dict[str, Any] = {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "message": self.message,
        }
        return facts | ({"hint": self.hint} if self.hint else {})


class SpecError(FirnlineError):
    """The project's files do not say something Firnline can run."""

    code = "spec_invalid"
    status = 422
    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        first = self.problems[0]
        super().__init__(
            str(first) if count == 1 else f"{count} problems, the first: {first}",
            hint=first.hint if count == 1 else "Run `firnline check DIR` to see all of them.",
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, with every problem."""
        return super().as_dict() | {"problems": [problem.as_dict() for problem in self.problems]}


def quoted(value: object) -> str:
    """Return `value` for a message: control characters escaped, long texts cut."""
    shown = str(value)
    if len(shown) > _SHOWN_MAX:
        shown = shown[: _SHOWN_MAX - 3] + "..."
    return repr(shown)


def near(word: str, known: Iterable[str], *, what: str) -> str:
    """Return a hint naming the known words closest to `word`, or all when they are few."""
    words = sorted(set(known))
    # Comparing is slow: of very many words, those with the same first letter are tried.
    likely = sorted(words, key=lambda each: each[:1].lower() != word[:1].lower())[:_COMPARED_MAX]
    lowered = {each.lower(): each for each in likely}
    matches = difflib.get_close_matches(word.lower()[:_SHOWN_MAX], lowered, n=3, cutoff=0.6)
    if matches:
        return f"Did you mean {' or '.join(quoted(lowered[match]) for match in matches)}?"
    if not words:
        return f"There are no {what}."
    listed = ", ".join(words[:_LISTED_MAX]) + (", ..." if len(words) > _LISTED_MAX else "")
    return f"Known {what}: {listed}."
