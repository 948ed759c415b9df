"""An explained operation as a tree for a terminal: levels, rows, SQL, decisions and times.

Takes `extensions.explain` of an answer; `firnline query --explain` prints the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

_SHOWN_ARGUMENTS = ("filters", "search", "distinctOn", "order", "limit", "after", "before")


def show_explanation(console: Console, explained: Mapping[str, Any]) -> None:
    """Print how an operation was answered."""
    times = ", ".join(f"{name} {value:g} ms" for name, value in explained["milliseconds"].items())
    sources = " and ".join(explained["answeredFrom"]) or "nothing"
    root = Tree(f"[bold]Answered from {escape(sources)}[/]  [dim]{escape(times)}[/]")
    for field in explained["fields"]:
        _grow(root, field)
    console.print(root)
    if explained["access"]:
        console.print(_decisions(explained["access"]))
    if explained["sources"]:
        console.print(_sources(explained["sources"]))


def _grow(tree: Tree, field: Mapping[str, Any]) -> None:
    places = " and ".join(field["from"]) or "not asked"
    tables = ", ".join(field["tables"])
    branch = tree.add(
        f"[bold]{escape(field['key'])}[/]: {escape(field['object'])} "
        f"[dim]of {escape(tables)}[/]  {field['rows']} rows, {places}"
    )
    for line in _arguments(field):
        branch.add(f"[dim]{escape(line)}[/]")
    for statement in field.get("statements", ()):
        asked = branch.add(f"{statement['rows']} rows in {statement['milliseconds']:g} ms")
        asked.add(escape(statement["sql"]), style="cyan")
        if statement["parameters"]:
            asked.add(escape(f"? {statement['parameters']}"), style="dim")
    for below in field.get("below", ()):
        _grow(branch, below)


def _arguments(field: Mapping[str, Any]) -> Iterator[str]:
    if field["fields"]:
        yield f"reads {', '.join(field['fields'])}"
    if field.get("parts"):
        yield f"asks for {', '.join(field['parts'])}"
    for name in _SHOWN_ARGUMENTS:
        value = field.get(name)
        if value is not None:
            joined = "; ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{name}: {joined}"


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("Object", "Rows", "Fields that may be read", "Withheld")
    for each in decisions:
        rows = ", ".join(f"{name}: {mode}" for name, mode in each["rows"].items())
        read = [field["field"] for field in each["fields"] if field["readable"]]
        withheld = [
            f"{field['field']}: {field['reason']} ({field['source']})"
            for field in each["fields"]
            if not field["readable"]
        ]
        if not each["readable"]:
            withheld.insert(0, f"everything: {each['reason']} ({each['source']})")
        texts = (each["object"], rows, ", ".join(read), "\n".join(withheld))
        table.add_row(*map(escape, texts))
    return table


def _sources(sources: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("Source", "Synced", "Data version")
    for name, each in sources.items():
        table.add_row(escape(name), each["syncedAt"] or "never in full", str(each["version"]))
    return table
