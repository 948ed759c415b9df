"""Keeps docs/errors.md equal to the error tree: every code that a client may look up.

Run as `python -m firnline.cli.error_docs --check` or `--write`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import firnline
from firnline.connectors.registry import connector_folders, load_connector
from firnline.errors import FirnlineError, error_tree

_PAGE = Path(__file__).resolve().parents[3] / "docs" / "errors.md"
_HEAD = """# Errors

Every refusal carries a stable `code`, a sentence and, where there is one, the next step (`hint`).
In GraphQL answers they stand in `errors[].extensions`, over HTTP in the same form, on the command
line after `error`, and with `--json` as `{"error": {"code": ..., "message": ..., "hint": ...}}`.
`retryable` says whether the same call may succeed later without a change.

This page is generated from the code (`python -m firnline.cli.error_docs --write`).

| code | HTTP | exit | retryable | meaning |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    _load_everything()
    rows: dict[str, str] = {}
    for error in error_tree():
        meaning = (error.__doc__ or "").strip().split("\n")[0]
        retryable = "yes" if error.retryable else ""
        row = f"| `{error.code}` | {error.status} | {error.exit_code} | {retryable} | {meaning} |"
        if error.code != FirnlineError.code or error is FirnlineError:
            rows.setdefault(error.code, row)
    return _HEAD + "\n".join(rows[code] for code in sorted(rows)) + "\n"


def _load_everything() -> None:
    for module in pkgutil.walk_packages(firnline.__path__, "firnline."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for provider in connector_folders():
        load_connector(provider)


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is current."""
    if arguments == ["--write"]:
        _PAGE.write_text(page(), "utf-8")
        return 0
    if _PAGE.exists() and _PAGE.read_text("utf-8") == page():
        return 0
    sys.stderr.write("docs/errors.md is not current: python -m firnline.cli.error_docs --write\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
