"""`firnline init`: writes a commented starting point that `firnline check` accepts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from firnline.cli.running import AsJson, print_json
from firnline.errors import UsageError

# File in the project -> file of the starter beside this module.
_FILES: Mapping[str, str] = {
    "firnline.yaml": "firnline.yaml",
    "tenants/example.yaml": "example.yaml",
    "operations/open_deals.graphql": "open_deals.graphql",
    ".env.example": "environment.txt",
}


class ProjectExistsError(UsageError):
    """The directory already holds files that `init` would write."""

    code = "project_exists"

    def __init__(self, directory: Path, taken: list[str]) -> None:
        super().__init__(
            f"{directory} already holds {', '.join(taken)}",
            hint="Choose another directory, or overwrite these files with --force.",
        )


class ProjectUnwritableError(UsageError):
    """The directory cannot be written to."""

    code = "project_unwritable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written: {reason}", hint="Choose a directory you may write to."
        )


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write; made when it does not exist.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented starting point: firnline.yaml, a tenant, an operation, .env.example."""
    taken = _taken(directory)
    if taken and not force:
        raise ProjectExistsError(directory, taken)
    for name, starter in _FILES.items():
        _write(directory / name, _starter(starter))
    if as_json:
        print_json({"directory": str(directory), "files": list(_FILES)})
        return
    for name in _FILES:
        typer.echo(f"wrote {directory / name}")
    typer.echo(f"Next: firnline check {directory}")


def _taken(directory: Path) -> list[str]:
    """Return the files that are there already."""
    try:
        return [name for name in _FILES if (directory / name).exists()]
    except OSError as error:
        raise ProjectUnwritableError(directory, error.strerror or "unknown reason") from error


def _starter(name: str) -> str:
    return (files("firnline.cli") / "starter" / name).read_text("utf-8")


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    except OSError as error:
        raise ProjectUnwritableError(path, error.strerror or "unknown reason") from error
