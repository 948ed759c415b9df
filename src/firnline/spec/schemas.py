"""JSON Schemas of the YAML files, for editors: generated from the models into schema/.

`python -m firnline.spec.schemas --write` writes them, `--check` tells whether they are current.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from firnline.connectors.manifest import Manifest
from firnline.connectors.registry import bundled_schema_dir
from firnline.spec.model import IntegrationSpec, TenantSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: Mapping[str, tuple[type[BaseModel], str]] = {
    "firnline": (IntegrationSpec, "Firnline integration (firnline.yaml)"),
    "tenant": (TenantSpec, "Firnline tenant (tenants/<tenant>.yaml)"),
    "connector": (Manifest, "Firnline connector (connector.yaml)"),
}


def json_schemas() -> Mapping[str, dict[str, Any]]:
    """Return the schema of each kind of file, by file name."""
    return {
        f"{name}.schema.json": {
            "$schema": DIALECT,
            "$id": f"urn:firnline:schema:{name}:1",
            **_closed(model.model_json_schema(by_alias=True)),
            "title": title,
        }
        for name, (model, title) in _MODELS.items()
    }


def _closed(schema: Any) -> Any:
    """Refuse keys that fit none of a mapping's patterns: JSON Schema allows them by default."""
    if isinstance(schema, dict):
        closed = {key: _closed(value) for key, value in schema.items()}
        return closed | ({"additionalProperties": False} if "patternProperties" in schema else {})
    return [_closed(each) for each in schema] if isinstance(schema, list) else schema


def rendered(schema: Mapping[str, Any]) -> str:
    """Return the text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def stale_files(folder: Path) -> list[str]:
    """Return the names of the schema files in `folder` that are missing or out of date."""
    return [
        name
        for name, schema in json_schemas().items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != rendered(schema)
    ]


def main(arguments: list[str]) -> int:
    """Write or check the schema files; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m firnline.spec.schemas", description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="write schema/*.schema.json")
    choice.add_argument("--check", action="store_true", help="exit 1 when they are not current")
    parser.add_argument("--folder", type=Path, default=bundled_schema_dir())
    chosen = parser.parse_args(arguments)
    if chosen.write:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        for name, schema in json_schemas().items():
            (chosen.folder / name).write_text(rendered(schema), "utf-8")
        return 0
    stale = stale_files(chosen.folder)
    for name in stale:
        print(f"{name} is not current; run: python -m firnline.spec.schemas --write")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
