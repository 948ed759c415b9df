"""Reads one YAML file into plain values that remember where they stood.

Takes bytes; `spec.load` receives a `Document`, or the problems as a SpecError. Values follow the
YAML 1.2 core schema (`NO` and `2026-01-01` are text); keys are always text. Anchors, aliases, tags
and duplicate keys are refused: a spec says each thing once, where the reader sees it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from firnline.spec.problems import Problem, SpecError, quoted

BYTES_MAX = 256 * 1024
DEPTH_MAX = 32
_NUMBER_LENGTH_MAX = 40

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
# Control characters, lone surrogates, and what reorders or breaks the lines that people read.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]"
)

YamlPath = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass(slots=True)
class Document:
    """A file's values and the line and column of each; keys and values apart."""

    file: str
    lines: int
    root: Any = None
    keys: dict[YamlPath, Place] = field(default_factory=dict)
    values: dict[YamlPath, Place] = field(default_factory=dict)

    def place(self, path: YamlPath, *, value: bool = False) -> Place:
        """Return where the key (or the value) at `path` stands, or the nearest thing around it."""
        for length in range(len(path), 0, -1):
            known = path[:length]
            exact = value and length == len(path)
            found = self.values.get(known) if exact else self.keys.get(known)
            found = found or self.values.get(known)
            if found is not None:
                return found
        return self.values.get((), (1, 1))

    def at(self, path: YamlPath) -> Any:
        """Return the value at `path`, None when there is none."""
        found = self.root
        for step in path:
            if isinstance(found, Mapping) or (isinstance(found, tuple) and isinstance(step, int)):
                try:
                    found = found[step]  # type: ignore[index]
                except (KeyError, IndexError):
                    return None
            else:
                return None
        return found


def read_document(path: Path, file: str) -> Document:
    """Read the YAML file at `path`, called `file` in problems; raises SpecError."""
    return parse_document(_bytes_of(path, file), file)


def _bytes_of(path: Path, file: str) -> bytes:
    try:
        if not path.is_file():
            raise SpecError([Problem(file, 1, 1, "unreadable", f"{file} is not a file")])
        with path.open("rb") as opened:
            content = opened.read(BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        raise SpecError(
            [Problem(file, 1, 1, "unreadable", f"{file} cannot be read: {reason}")]
        ) from error
    if len(content) > BYTES_MAX:
        raise SpecError(
            [
                Problem(
                    file,
                    1,
                    1,
                    "file_too_large",
                    f"{file} is larger than {BYTES_MAX // 1024} KB",
                    "Specs are written by people; move generated content elsewhere.",
                )
            ]
        )
    return content


def parse_document(content: bytes, file: str) -> Document:
    """Return the document in `content`; raises SpecError with every problem found."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        problem = Problem(file, line, column, "not_utf8", message, "Save the file as UTF-8.")
        raise SpecError([problem]) from error
    return _Reader(text, file).read()


def _place_of(event: Event) -> Place:
    """Return where the event starts, counted from 1."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _Reader:
    """Builds a Document from the parser's events, to a limited depth."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._document = Document(file, lines=max(1, len(text.splitlines())))
        self._problems: list[Problem] = []

    def read(self) -> Document:
        events = self._events()
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
            elif isinstance(event, NodeEvent) and documents == 1:
                self._document.root = self._node(event, (), events)
            elif isinstance(event, NodeEvent):
                self._report(event, "several_documents", "a file holds one document", "Remove ---.")
                break
        if self._problems:
            raise SpecError(self._problems)
        return self._document

    def _events(self) -> Iterator[Event]:
        """Yield the parser's events; a syntax error becomes a problem and ends the file."""
        loader: yaml.SafeLoader | None = None
        try:
            loader = yaml.SafeLoader(self._text)
            while loader.check_event():
                yield loader.get_event()  # type: ignore[no-untyped-call]
        except yaml.reader.ReaderError as error:
            self._syntax_error(*self._line_of(error.position), "the character is not printable")
            raise SpecError(self._problems) from error
        except yaml.MarkedYAMLError as error:
            self._marked_error(error)
            raise SpecError(self._problems) from error
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML lets out-of-range escapes and version numbers escape as plain ValueErrors.
            place: Place = (loader.line + 1, loader.column + 1) if loader else (1, 1)
            self._syntax_error(*place, "a number or escape is out of range")
            raise SpecError(self._problems) from error

    def _node(self, event: NodeEvent, path: YamlPath, events: Iterator[Event]) -> Any:
        self._refuse_extras(event)
        self._document.values[path] = _place_of(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, AliasEvent):
            self._report(event, "alias", "aliases are not allowed", "Write the value out.")
            return None
        if len(path) >= DEPTH_MAX:
            self._report(event, "too_deep", f"nested deeper than {DEPTH_MAX} levels")
            raise SpecError(self._problems)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path, events)
        return self._mapping(path, events)

    def _sequence(self, path: YamlPath, events: Iterator[Event]) -> tuple[Any, ...]:
        found: list[Any] = []
        for event in events:
            if isinstance(event, CollectionEndEvent):
                break
            assert isinstance(event, NodeEvent)
            found.append(self._node(event, (*path, len(found)), events))
        return tuple(found)

    def _mapping(self, path: YamlPath, events: Iterator[Event]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in events:
            if isinstance(event, CollectionEndEvent):
                break
            assert isinstance(event, NodeEvent)
            key = self._key(event, path, found, events)
            value = self._node(next(events), (*path, key), events)  # type: ignore[arg-type]
            found.setdefault(key, value)
        return found

    def _key(
        self, event: NodeEvent, path: YamlPath, found: Mapping[str, Any], events: Iterator[Event]
    ) -> str:
        """Return the key's text as written: `1`, `yes` and `null` are names, too."""
        if not isinstance(event, ScalarEvent):
            self._report(event, "key_not_text", "a key must be plain text")
            raise SpecError(self._problems)
        self._refuse_extras(event)
        self._refuse_control(event)
        key: str = event.value
        if key in found:
            line = self._document.keys[(*path, key)][0]
            message = f"{quoted(key)} was already given in line {line}"
            self._report(event, "duplicate_key", message, "Keep one of the two.")
        else:
            place = _place_of(event)
            self._document.keys[(*path, key)] = place
        return key

    def _scalar(self, event: ScalarEvent) -> Any:
        self._refuse_control(event)
        text: str = event.value
        if event.style is not None:  # quoted or block: text, whatever it looks like
            return text
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
            return text.lower() == "true"
        return self._number(event, text)

    def _number(self, event: ScalarEvent, text: str) -> Any:
        is_integer = _INTEGER.fullmatch(text) is not None
        if not is_integer and not _FLOAT.fullmatch(text):
            return text
        if len(text) > _NUMBER_LENGTH_MAX:
            self._report(event, "number", "the number is too long", "Quote it if it is text.")
            return text
        if is_integer:
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text, base)
        number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            self._report(event, "number", f"{quoted(text)} is not a finite number")
        return number

    def _refuse_extras(self, event: NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._report(event, "tag", f"tags such as {quoted(tag)} are not allowed")
        if event.anchor is not None and not isinstance(event, AliasEvent):
            self._report(event, "alias", "anchors are not allowed", "Write the value out.")

    def _refuse_control(self, event: ScalarEvent) -> None:
        if _CONTROL.search(event.value):
            self._report(event, "control_character", "control characters are not allowed in text")

    def _report(self, event: Event, code: str, message: str, hint: str = "") -> None:
        self._add(*_place_of(event), code, message, hint)

    def _marked_error(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = error.problem or error.context or "the YAML cannot be read"
        hint = ""
        if "'\\t'" in message:
            hint = "Indent with spaces, not tabs."
        elif error.context and error.context_mark:
            hint = f"Found {error.context} that begins in line {error.context_mark.line + 1}."
        self._syntax_error(*place, message, hint)

    def _syntax_error(self, line: int, column: int, message: str, hint: str = "") -> None:
        self._add(line, column, "yaml_syntax", message, hint)

    def _add(self, line: int, column: int, code: str, message: str, hint: str) -> None:
        # An error at the end of the file is reported by the parser one line below it.
        within = min(line, self._document.lines)
        self._problems.append(Problem(self._document.file, within, column, code, message, hint))

    def _line_of(self, position: int) -> Place:
        before = self._text[:position]
        return before.count("\n") + 1, position - before.rfind("\n")
