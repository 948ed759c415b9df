"""docs/spec.md says what is true: its examples load, and it lists every code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import firnline.spec
from firnline.spec.document import parse_document
from firnline.spec.load import load_project

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "spec.md"
_BLOCK = re.compile(r"^```yaml(?P<facts>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# Fields that an example speaks of and the smallest project does not have.
_EXTRAS = {"Account": {"parentId": {"type": "id"}}}


def blocks() -> list[tuple[dict[str, str], str]]:
    """Return the YAML blocks with the facts that follow `yaml`."""
    found = []
    for block in _BLOCK.finditer(DOCUMENT.read_text("utf-8")):
        facts = dict(fact.split("=", 1) for fact in block["facts"].split())
        assert facts.keys() & {"file", "into"}, f"an example says nothing of its place: {block[0]}"
        found.append((facts, block["text"]))
    return found


def plain(value: Any) -> Any:
    """Return a document's values as the dumper wants them."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def examples() -> dict[str, Any]:
    """Return the whole files that the document shows."""
    return {
        facts["file"]: plain(parse_document(text.encode(), facts["file"]).root)
        for facts, text in blocks()
        if "file" in facts
    }


def write(directory: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")


def test_example_project_of_the_document_loads(tmp_path: Path) -> None:
    write(tmp_path, examples())
    project = load_project(tmp_path)
    assert list(project.tenants) == ["globex"]


FRAGMENTS = [(facts, text) for facts, text in blocks() if "into" in facts]


@pytest.mark.parametrize(("facts", "text"), FRAGMENTS, ids=[f["into"] for f, _ in FRAGMENTS])
def test_example_fits_where_the_document_says(
    tmp_path: Path, facts: dict[str, str], text: str
) -> None:
    files = examples()
    for name, fields in _EXTRAS.items():
        files["firnline.yaml"]["objects"][name]["fields"].update(fields)
    files["tenants/globex.yaml"].pop("access")  # the fragment may deny or rename what it narrows
    name = facts.get("of", "firnline.yaml")
    place = files[name]
    *steps, last = facts["into"].split(".")
    for step in steps:
        place = place[step]
    merge(place, last, plain(parse_document(text.encode(), name).root))
    write(tmp_path, files)
    load_project(tmp_path)


def merge(place: dict[str, Any], key: str, fragment: Any) -> None:
    """Put `fragment` at `key`, over what is there."""
    there = place.get(key)
    if not isinstance(there, dict) or not isinstance(fragment, dict):
        place[key] = fragment
        return
    for inner, value in fragment.items():
        merge(there, inner, value)


def codes_in_source() -> Iterator[str]:
    """Yield every code that the spec's modules report."""
    reporting = {"key", "value", "report", "_report", "_add", "Problem"}
    for path in Path(firnline.spec.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                codes = [text for text in texts if isinstance(text, str) and _is_code(text)]
                yield from codes[:1] if called in reporting else ()
            if isinstance(node, ast.Tuple) and len(node.elts) == 2:  # (code, sentence)
                code, sentence = (getattr(each, "value", "a sentence") for each in node.elts)
                if path.name == "validate.py" and _is_code(str(code)) and " " in str(sentence):
                    yield code


def _is_code(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]+", text) is not None


def test_document_lists_exactly_the_codes_that_exist() -> None:
    table = DOCUMENT.read_text("utf-8").split("## What check reports")[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = set(re.findall(r"`([a-z0-9_]+)`", " ".join(rows)))
    assert documented == set(codes_in_source())
