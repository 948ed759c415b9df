"""A connector folder that is not finished: mistakes are told with their place, not a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firnline.connectors.registry import (
    ConnectorError,
    connector_folders,
    load_connector,
    load_manifest,
)

STAMP = Path(__file__).parents[1] / "connections" / "providers" / "stamp"
Provider = Callable[[str, str], str]


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """Return a maker of providers: a name, and what its connector.py holds."""
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(tmp_path))

    def made(name: str, code: str) -> str:
        shutil.copytree(STAMP, tmp_path / name)
        declared = (
            (STAMP / "connector.yaml").read_text().replace("provider: stamp", f"provider: {name}")
        )
        (tmp_path / name / "connector.yaml").write_text(declared)
        (tmp_path / name / "connector.py").write_text(code)
        return name

    yield made
    load_manifest.cache_clear()
    load_connector.cache_clear()


HEAD = "from firnline.connectors.protocol import Connector\n"


@pytest.mark.parametrize(
    ("name", "code", "says", "line"),
    [
        ("quilla", "import nowhere_at_all\n", "ModuleNotFoundError", 1),
        ("quillb", f"{HEAD}class Quill(:\n", "SyntaxError", 2),
        ("quillc", f"{HEAD}\n1 / 0\n", "ZeroDivisionError", 3),
    ],
)
def test_module_that_cannot_be_imported_is_told_with_its_line(
    provider: Provider, tmp_path: Path, name: str, code: str, says: str, line: int
) -> None:
    with pytest.raises(ConnectorError, match=says) as refused:
        load_connector(provider(name, code))

    assert refused.value.hint == f"Look at {tmp_path / name / 'connector.py'}:{line}."


def test_what_a_connector_does_not_define_yet_is_named(provider: Provider) -> None:
    code = f"{HEAD}class Quill(Connector):\n    provider = 'quilld'\n"

    with pytest.raises(ConnectorError, match="does not define access, build_read, classify"):
        load_connector(provider("quilld", code))


def test_mistakes_of_a_manifest_are_named_by_their_keys_and_never_quoted(
    provider: Provider,
) -> None:
    name = provider("quille", "")
    declared = connector_folders()[name] / "connector.yaml"
    text = declared.read_text().replace("category: calls", "category: post")
    declared.write_text(text.replace("flow: basic", "flow: basics"))

    with pytest.raises(ConnectorError) as refused:
        load_manifest(name)

    assert all(word in refused.value.message for word in ("category: ", "auth.1: "))
    assert "pydantic" not in refused.value.message
    assert refused.value.hint == f"Correct {declared}."
