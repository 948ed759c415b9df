"""The admin API's description (OpenAPI 3.1), generated from its endpoints and forms into schema/.

`python -m firnline.web.admin.openapi --write` writes it, `--check` tells whether it is current.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from firnline.connectors.registry import bundled_schema_dir
from firnline.web.admin.endpoints import ENDPOINTS, Endpoint
from firnline.web.admin.forms import Event

FILE = "admin.openapi.json"
_REFS = "#/components/schemas/{model}"
_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why a request was refused; docs/errors.md lists the codes.",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message", "extensions"],
                "properties": {
                    "message": {"type": "string"},
                    "extensions": {
                        "type": "object",
                        "required": ["code"],
                        "properties": {
                            "code": {"type": "string"},
                            "hint": {"type": "string"},
                            "retryable": {"type": "boolean"},
                        },
                    },
                },
            },
        }
    },
}
_REFUSALS = {
    "400": "The query or the body cannot be used.",
    "401": "There is no credential that counts.",
    "403": "The credential lacks the scope.",
    "404": "There is no such tenant or connection for this credential.",
}


def document() -> dict[str, Any]:
    """Return the whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Firnline admin API",
            "version": "1",
            "description": "Connections of tenants to their systems, and what happens to them.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (fl_...), or a signed token with the scope "
                    "firnline.admin or firnline.admin.read for its own tenant.",
                }
            },
            "schemas": {**_schemas(), "Refusal": _ERROR},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.work.__name__,
        "summary": endpoint.summary,
        "description": f"Needs the scope `{endpoint.scope}`.",
        "parameters": [
            *(_parameter(name, "path") for name in re.findall(r"{(\w+)}", endpoint.path)),
            *(_parameter(name, "query", told) for name, told in endpoint.parameters.items()),
        ],
        "responses": {
            str(endpoint.status): {
                "description": (endpoint.answer.__doc__ or "").strip(),
                "content": _answers(endpoint),
            },
            **{
                status: {"description": told, "content": _json("Refusal")}
                for status, told in _REFUSALS.items()
            },
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"content": _json(endpoint.body.__name__)}
    return operation


def _answers(endpoint: Endpoint) -> dict[str, Any]:
    content = _json(endpoint.answer.__name__)
    if endpoint.work.__name__ == "events":
        told = (
            "Events of the type `connection`; each has the number as its id, and an Event as data."
        )
        content["text/event-stream"] = {"schema": {"type": "string", "description": told}}
    return content


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFS.format(model=name)}}}


def _parameter(name: str, place: str, told: str = "") -> dict[str, Any]:
    kind = "integer" if name in {"after", "limit"} else "string"
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        **({"description": told} if told else {}),
        "schema": {"type": kind},
    }


def _schemas() -> dict[str, Any]:
    taken: list[type[BaseModel]] = [each.body for each in ENDPOINTS if each.body is not None]
    answered = [each.answer for each in ENDPOINTS]
    inputs = [(model, "validation") for model in dict.fromkeys(taken)]
    outputs = [(model, "serialization") for model in dict.fromkeys([*answered, Event])]
    _, found = models_json_schema([*inputs, *outputs], ref_template=_REFS)  # type: ignore[list-item]
    definitions: dict[str, Any] = found["$defs"]
    return definitions


def rendered() -> str:
    """Return the text of the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m firnline.web.admin.openapi")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help=f"write schema/{FILE}")
    choice.add_argument("--check", action="store_true", help="exit 1 when it is not current")
    parser.add_argument("--folder", type=Path, default=bundled_schema_dir())
    chosen = parser.parse_args(arguments)
    path = chosen.folder / FILE
    if chosen.write:
        path.write_text(rendered(), "utf-8")
        return 0
    if path.is_file() and path.read_text("utf-8") == rendered():
        return 0
    print(f"{FILE} is not current; run: python -m firnline.web.admin.openapi --write")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
