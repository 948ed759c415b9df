"""`firnline query`: asks one question as a person and prints the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.json import JSON

from firnline.access.principal import Principal
from firnline.app import opened
from firnline.cli.explaining import show_explanation
from firnline.cli.files import read_standard_input, read_text
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.errors import UsageError
from firnline.graph.answer import Answer
from firnline.graph.explain.explanation import Detail


class VariablesError(UsageError):
    """--variables is not a JSON object."""

    code = "variables_invalid"


def query(
    tenant: TenantArgument,
    document: Annotated[
        str, typer.Argument(help="A GraphQL file, `-` for standard input, or the text itself.")
    ] = "-",
    person: Annotated[str, typer.Option("--as", help="E-mail of the person who asks.")] = "",
    variables: Annotated[str, typer.Option(help="JSON object of variables.")] = "{}",
    operation: Annotated[
        str, typer.Option(help="Id of a published operation, in place of a document.")
    ] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Also show how it was answered.")
    ] = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Ask a question of a tenant's graph as one person. Exit code 1 when the answer has errors."""
    if not person:
        raise UsageError("nobody is asking", hint="Name a person: --as EMAIL.")
    text = None if operation else _document(document)
    values = _variables(variables)

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            app.tenant(tenant)
            answer = await app.ask(
                Principal(tenant=tenant, email=person.casefold(), credential="local"),
                text,
                document_id=operation or None,
                variables=values,
                # Whoever can open the caches may know all that is asked of them.
                explain=Detail.OPERATOR if explain else None,
            )
        _show(answer, as_json=as_json)
        if answer.errors:
            raise typer.Exit(1)

    run(work)


def _document(given: str) -> str:
    if given == "-":
        return read_standard_input()
    if "{" in given:
        return given
    return read_text(Path(given))


def _variables(text: str) -> dict[str, Any]:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise VariablesError(f"--variables is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise VariablesError("--variables is not a JSON object", hint='Write {"name": "value"}.')
    return values


def _show(answer: Answer, *, as_json: bool) -> None:
    facts = orjson.loads(answer.body())
    if as_json:
        print_json(facts)
        return
    explained = facts.get("extensions", {}).pop("explain", None)
    # Unwrapped: the lines of a JSON text must survive a pipe.
    Console(soft_wrap=True).print(JSON(orjson.dumps(facts).decode(), ensure_ascii=False))
    if explained is not None:
        # Beside the answer, so that a pipe still receives JSON alone.
        show_explanation(Console(stderr=True), explained)
