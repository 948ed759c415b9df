"""Collects the problems that rules find in one document."""

from __future__ import annotations

from collections.abc import Iterable

from firnline.spec.document import Document, YamlPath
from firnline.spec.problems import Problem, near, quoted


class Findings:
    """Knows where each path of its document stands; rules only name the path."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def key(self, path: YamlPath, code: str, message: str, hint: str = "") -> None:
        """Report a problem with the key at `path`, or with what stands under it."""
        self._add(self.document.place(path), code, message, hint)

    def value(self, path: YamlPath, code: str, message: str, hint: str = "") -> None:
        """Report a problem with the value at `path`."""
        self._add(self.document.place(path, value=True), code, message, hint)

    def _add(self, place: tuple[int, int], code: str, message: str, hint: str) -> None:
        self.problems.append(Problem(self.document.file, *place, code, message, hint))


def unknown(word: str, known: Iterable[str], *, what: str, plural: str = "") -> tuple[str, str]:
    """Return the message and the hint for a word that is not among the known ones."""
    return f"there is no {what} {quoted(word)}", near(word, known, what=plural or f"{what}s")
