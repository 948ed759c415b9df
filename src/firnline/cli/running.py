"""What every command shares: options, one error form, JSON output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from firnline.errors import FirnlineError

Directory = Annotated[
    Path, typer.Option("--dir", "-d", help="The project directory (firnline.yaml is in it).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TenantArgument = Annotated[str, typer.Argument(help="The tenant's name.")]


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a command's coroutine; Ctrl-C ends it with exit code 130 and no traceback."""
    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def print_json(facts: object) -> None:
    """Print facts as one line of JSON."""
    sys.stdout.buffer.write(orjson.dumps(facts, option=orjson.OPT_NON_STR_KEYS) + b"\n")
    sys.stdout.buffer.flush()


def report(error: FirnlineError, *, as_json: bool) -> None:
    """Print an error: JSON on stdout when the command was asked for JSON, else to stderr."""
    if as_json:
        print_json({"error": error.as_dict()})
        return
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[bold red]error[/] \\[{error.code}]: {escape(error.message)}")
    if error.hint:
        console.print(f"  [dim]->[/] {escape(error.hint)}")
