"""Documents to publish are read from files, folders and the manifests of Apollo and Relay."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from firnline.graph.manifest import ManifestError, read_documents

ONE = "query One { a }"
TWO = "query Two { b }"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder: Path, content: Any) -> Path:
    path = folder / "manifest.json"
    path.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
    return path


def test_folder_gives_each_document_under_its_digest(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.graphql").write_text(ONE)
    (tmp_path / "deep" / "two.gql").write_text(TWO)
    (tmp_path / "notes.md").write_text("not one")

    found = {one.source: one.operation_id for one in read_documents(tmp_path)}

    assert found == {
        "deep/two.gql": f"sha256:{digest(TWO)}",
        "one.graphql": f"sha256:{digest(ONE)}",
    }


@pytest.mark.parametrize(
    ("given", "operation_id"),
    [
        ("renewals", "renewals"),
        (digest(ONE), f"sha256:{digest(ONE)}"),
        (digest(ONE).upper(), f"sha256:{digest(ONE)}"),
        (f"sha256:{digest(ONE)}", f"sha256:{digest(ONE)}"),
        (digest(TWO).upper(), digest(TWO)),  # a hash of something else: theirs
        (hashlib.md5(ONE.encode()).hexdigest(), hashlib.md5(ONE.encode()).hexdigest()),
    ],
)
def test_id_of_a_manifest_is_kept_and_a_digest_told_as_one(
    tmp_path: Path, given: str, operation_id: str
) -> None:
    apollo = {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{"id": given, "name": "One", "type": "query", "body": ONE}],
    }
    for content in ({given: ONE}, apollo):
        (found,) = read_documents(write(tmp_path, content))
        assert (found.text, found.operation_id) == (ONE, operation_id)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        [],
        {},
        {"a": 1},
        {"": ONE},
        {"with space": ONE},
        {"x" * 201: ONE},
        {"c" * 64: ONE, "C" * 64: TWO},
        {"format": "apollo-persisted-query-manifest", "version": 2, "operations": []},
        {"format": "apollo-persisted-query-manifest", "version": 1, "operations": [{"id": "a"}]},
        {"format": "apollo-persisted-query-manifest", "version": 1, "operations": [1]},
    ],
)
def test_what_is_no_manifest_is_refused_with_the_next_step(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ManifestError) as refused:
        read_documents(write(tmp_path, content))
    assert refused.value.hint


def test_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        read_documents(tmp_path / "nowhere")
