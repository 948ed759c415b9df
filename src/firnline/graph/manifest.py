"""Reads documents to publish from a file, a folder or a manifest.

Takes a path; publishing receives texts with the ids that clients will send. Manifests are those of
Apollo (`generate-persisted-query-manifest`), Relay (`persistConfig.file`) or any {id: text}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from firnline.errors import UsageError
from firnline.state.state import operation_id_of

DOCUMENTS_MAX = 10_000
MANIFEST_BYTES_MAX = 64 * 1024 * 1024
_APOLLO_FORMAT = "apollo-persisted-query-manifest"
_SUFFIXES = frozenset({".graphql", ".gql"})
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


class ManifestError(UsageError):
    """What was given holds no documents that could be published."""

    code = "manifest_invalid"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{str(path)!r}: {reason}",
            hint="Give a .graphql file, a folder of them, or a JSON manifest: {id: text}, "
            "Apollo's persisted query manifest, or Relay's.",
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A document to publish: where it stood, its text, and its id (the digest unless given)."""

    source: str
    text: str
    operation_id: str


def read_documents(path: Path) -> Sequence[Listed]:
    """Return the documents of a file, folder or manifest; raises ManifestError."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES)
        found = [listed(path, str(file.relative_to(path)), _text(file)) for file in files]
    elif not path.is_file():
        raise ManifestError(path, "there is no such file or folder")
    elif path.suffix == ".json":
        entries = _entries(path)
        found = [listed(path, given, text, given) for given, text in entries]
    else:
        found = [listed(path, path.name, _text(path))]
    if not found or len(found) > DOCUMENTS_MAX:
        raise ManifestError(path, f"holds {len(found)} documents, not 1 to {DOCUMENTS_MAX}")
    return _distinct(path, found)


def listed(path: Path, source: str, text: str, given: str = "") -> Listed:
    """Return a document under its own id or the given one; raises ManifestError for a bad id."""
    digest = operation_id_of(text)
    if not given or digest == f"sha256:{given.lower()}":
        return Listed(source, text, digest)
    if not _ID.fullmatch(given):
        raise ManifestError(path, f"the id {given[:80]!r} is not 1 to 200 visible ASCII characters")
    # Clients' hashes are looked up in lower case.
    return Listed(source, text, given.lower() if _DIGEST.fullmatch(given) else given)


def _distinct(path: Path, found: Sequence[Listed]) -> Sequence[Listed]:
    """Return each document once; raise when one id stands for two texts."""
    by_id: dict[str, Listed] = {}
    for one in found:
        known = by_id.setdefault(one.operation_id, one)
        if known.text != one.text:
            raise ManifestError(path, f"the id {one.operation_id!r} stands for two texts")
    return list(by_id.values())


def _entries(path: Path) -> list[tuple[str, str]]:
    try:
        content = orjson.loads(_text(path))
    except orjson.JSONDecodeError as error:
        raise ManifestError(path, "is not JSON") from error
    if not isinstance(content, dict):
        raise ManifestError(path, "is not a JSON object")
    if content.get("format") == _APOLLO_FORMAT:
        return _apollo_entries(path, content)
    if not all(given and isinstance(text, str) for given, text in content.items()):
        raise ManifestError(path, "is neither {id: text} nor Apollo's manifest")
    return list(content.items())


def _apollo_entries(path: Path, content: Mapping[str, Any]) -> list[tuple[str, str]]:
    operations = content.get("operations")
    if content.get("version") != 1 or not isinstance(operations, list):
        raise ManifestError(path, "is not version 1 of Apollo's manifest")
    entries = []
    for operation in operations:
        found = operation if isinstance(operation, dict) else {}
        given, text = found.get("id"), found.get("body")
        if not isinstance(given, str) or not given or not isinstance(text, str):
            raise ManifestError(path, "an operation lacks its id or body")
        entries.append((given, text))
    return entries


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise ManifestError(path, f"is over {MANIFEST_BYTES_MAX} bytes")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(path, f"cannot be read ({type(error).__name__})") from error
