"""The JSON Schemas for editors are generated, current, and describe every key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firnline.connectors.registry import bundled_schema_dir
from firnline.spec.schemas import json_schemas, main, stale_files


def test_schemas_in_the_repository_are_current() -> None:
    assert stale_files(bundled_schema_dir()) == [], "run: python -m firnline.spec.schemas --write"


def test_stale_or_missing_schema_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--write", "--folder", str(tmp_path)]) == 0
    assert main(["--check", "--folder", str(tmp_path)]) == 0
    (tmp_path / "tenant.schema.json").write_text("{}")
    (tmp_path / "firnline.schema.json").unlink()
    assert main(["--check", "--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "tenant.schema.json" in told
    assert "firnline.schema.json" in told
    assert "connector.schema.json" not in told


@pytest.mark.parametrize("name", ["firnline.schema.json", "tenant.schema.json"])
def test_every_key_of_the_spec_is_described(name: str) -> None:
    schema = json_schemas()[name]
    assert schema["$id"].startswith("urn:firnline:schema:")
    assert schema["title"]
    for owner, key, described in _properties(schema):
        # What a reference leads to is described there.
        assert "$ref" in described or described.get("description"), f"{owner}.{key}"


def _properties(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for owner, model in {"": schema, **schema["$defs"]}.items():
        assert model["additionalProperties"] is False
        assert model["description"], f"{owner} has no description"
        for key, described in model["properties"].items():
            yield owner, key, described


def test_schema_allows_a_bare_string_as_a_field_mapping() -> None:
    fields = json_schemas()["firnline.schema.json"]["$defs"]["SourceSpec"]["properties"]["fields"]
    (mapping,) = fields["patternProperties"].values()
    kinds = [kind.get("type") or kind["$ref"].rsplit("/")[-1] for kind in mapping["anyOf"]]
    assert kinds == ["string", "FromField", "FromTags", "When", "Constant", "FirstOf"]
    assert fields["additionalProperties"] is False
