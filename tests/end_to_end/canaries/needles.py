"""Looks for secrets in anything that was said or written, in every form that they might take.

Takes secrets by kind and named places with what lies in them; gives what was found where. A secret
is searched as it is, in halves, escaped as texts escape, and in base64 and hex, also where it is
encoded together with what stands around it.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import numpy as np

LENGTH_MIN = 8
HALF = 24
HALVED_MIN = 32
SHOWN = 60  # characters around a finding


@dataclass(frozen=True)
class Secret:
    """One canary: of which kind, and what it is."""

    kind: str
    content: bytes = field(repr=False)

    def parts(self) -> Iterator[bytes]:
        """Yield what must not be seen, whole or in halves: of keys each line.

        Of signed tokens it is the signature: others begin with the same words.
        """
        if self.content.startswith(b"-----BEGIN"):
            yield from (each for each in self.content.split() if len(each) >= HALVED_MIN)
        elif self.content.startswith(b"eyJ") and self.content.count(b".") == 2:
            yield self.content.rpartition(b".")[2]
        else:
            yield self.content


@dataclass(frozen=True)
class Finding:
    """A secret that lies where it must not; `near` is what stands before and after it."""

    place: str
    kind: str
    form: str
    near: str


def forms_of(part: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each form of a secret with its name."""
    yield "plain", part
    if len(part) >= HALVED_MIN:
        yield "first half", part[:HALF]
        yield "last half", part[-HALF:]
    yield "hex", part.hex().encode()
    yield "HEX", part.hex().upper().encode()
    for shift in range(3):
        # Whatever stands before it, and whatever follows: only what is the secret's alone.
        encoded = base64.b64encode(b"\0" * shift + part)
        begin, end = -(-8 * shift // 6), 8 * (shift + len(part)) // 6
        yield f"base64+{shift}", encoded[begin:end]
        yield f"base64url+{shift}", encoded[begin:end].translate(bytes.maketrans(b"+/", b"-_"))
    yield "repr", repr(part)[2:-1].encode()
    try:
        text = part.decode()
    except UnicodeDecodeError:
        return
    escaped = (
        json.dumps(text)[1:-1],
        html.escape(text),
        quote(text, safe=""),
        quote(text),
        quote_plus(text),
        ascii(text)[1:-1],
    )
    for form in escaped:
        yield "escaped", form.encode()


class Needles:
    """All secrets in all their forms, searched for at once."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._by_start: dict[bytes, list[tuple[bytes, str, str]]] = {}
        for kind, form, needle in sorted(set(_needles(secrets))):
            self._by_start.setdefault(needle[:LENGTH_MIN], []).append((needle, kind, form))
        starts = sorted(int.from_bytes(start, "little") for start in self._by_start)
        self._starts = np.array(starts, dtype="<u8")
        self._is_begun = np.zeros(1 << 16, dtype=bool)
        self._is_begun[(self._starts & 0xFFFF).astype(np.int64)] = True

    def __len__(self) -> int:
        return sum(len(needles) for needles in self._by_start.values())

    def find(self, place: str, content: bytes) -> list[Finding]:
        """Return each secret that `content` holds, once for each of its forms."""
        found: dict[tuple[str, str], Finding] = {}
        for at in self._candidates(content):
            for needle, kind, form in self._by_start[content[at : at + LENGTH_MIN]]:
                if (kind, form) not in found and content.startswith(needle, at):
                    near = content[max(0, at - SHOWN) : at + len(needle) + SHOWN]
                    found[kind, form] = Finding(place, kind, form, near.decode("utf-8", "replace"))
        return list(found.values())

    def _candidates(self, content: bytes) -> Iterator[int]:
        for offset in range(min(LENGTH_MIN, max(0, len(content) - LENGTH_MIN + 1))):
            count = (len(content) - offset) // LENGTH_MIN
            words = np.frombuffer(content, dtype="<u8", offset=offset, count=count)
            likely = np.flatnonzero(self._is_begun[(words & 0xFFFF).astype(np.int64)])
            places = np.searchsorted(self._starts, words[likely])
            places[places == len(self._starts)] = 0
            hits = likely[self._starts[places] == words[likely]]
            yield from (hits * LENGTH_MIN + offset).tolist()


def _needles(secrets: Iterable[Secret]) -> Iterator[tuple[str, str, bytes]]:
    for secret in secrets:
        for part in secret.parts():
            for form, needle in forms_of(part):
                if len(needle) >= LENGTH_MIN:
                    yield secret.kind, form, needle


@dataclass
class Haystack:
    """Everything that was said and written, by place. `allowed` is what a place may show."""

    lying: list[tuple[str, bytes, frozenset[str]]] = field(default_factory=list)

    def add(self, place: str, content: bytes | str, *, allowed: Collection[str] = ()) -> None:
        """Put something in; `allowed` are the kinds of secrets that it is there to hand over."""
        raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        self.lying.append((place, raw, frozenset(allowed)))

    def places(self) -> set[str]:
        """Return where there is something to search, by the first word of its name."""
        return {place.split()[0] for place, content, _ in self.lying if content}

    def search(self, needles: Needles) -> list[Finding]:
        """Return what lies where it must not."""
        found: dict[tuple[str, str], Finding] = {}
        for place, content, allowed in self.lying:
            for finding in needles.find(place, content):
                if finding.kind not in allowed:
                    found.setdefault((place, finding.kind), finding)
        return list(found.values())
