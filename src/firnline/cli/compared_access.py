"""Finds and shows the rights of people, and in what they differ.

Takes a project's directory, people, and what rights were before; `firnline access rights` and
`firnline access diff` print what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.access.principal import Principal
from firnline.app import opened
from firnline.errors import UsageError
from firnline.graph.explain.access_diff import Difference, ObjectRights, differences, rights_of
from firnline.graph.session import LazySnapshot, Session

Rights = Mapping[str, ObjectRights]  # by type of the graph


class SavedRightsError(UsageError):
    """The file does not hold a person's rights as they were printed."""

    code = "saved_rights"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} does not hold the rights of that person: {reason}",
            hint="Write it with `firnline access rights --tenant T --person EMAIL --json`.",
        )


@dataclass(frozen=True, slots=True)
class RightsOf:
    """The rights of several people at one moment."""

    at: datetime
    of: Mapping[str, Rights]


async def rights_in(directory: Path, tenant: str, people: Sequence[str]) -> RightsOf:
    """Return what people may read under one version of the project, from one snapshot."""
    async with opened(directory, read_only=True) as app:
        app.tenant(tenant)
        graph = await app.graphs.graph(tenant)
        now = app.clock.now()

        def look(snapshot: LazySnapshot) -> dict[str, Rights]:
            found: dict[str, Rights] = {}
            for email in people:
                principal = Principal(tenant, email.lower())
                decisions = app.graphs.decisions(graph, principal, snapshot)
                found[email] = rights_of(
                    graph, decisions, principal=principal, now=now, snapshot=snapshot
                )
            return found

        async with Session(await app.database(tenant)) as session:
            return RightsOf(now, await session.run(look))


async def compared(
    directory: Path,
    tenant: str,
    people: Sequence[str],
    *,
    since: Path | None = None,
    against: Path | None = None,
) -> tuple[list[str], list[Difference]]:
    """Return what is compared, and how it differs: the earlier or other side comes first.

    Raises UsageError unless it is two people, or one person and one of `since` and `against`.
    """
    wanted = 1 if since or against else 2
    if len(people) != wanted or (since and against):
        raise UsageError(
            "two people are compared, or one person at two times or under two versions",
            hint="Give --person twice, or once with either --since FILE or --against DIRECTORY.",
        )
    now = await rights_in(directory, tenant, people)
    if since is not None:
        at, before = saved(since, tenant, people[0])
        return [at, "now"], list(differences(before, now.of[people[0]]))
    if against is not None:
        other = await rights_in(against, tenant, people)
        names = [str(against), str(directory)]
        return names, list(differences(other.of[people[0]], now.of[people[0]]))
    return list(people), list(differences(now.of[people[0]], now.of[people[1]]))


def saved(path: Path, tenant: str, person: str) -> tuple[str, Rights]:
    """Return when rights were printed, and the rights; raises SavedRightsError."""
    try:
        told = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise SavedRightsError(path, "it cannot be read as JSON") from error
    try:
        whose = (told["tenant"], told["person"].lower())
        found = {name: ObjectRights.from_dict(each) for name, each in told["rights"].items()}
        at = str(told["at"])
    except (KeyError, TypeError, AttributeError) as error:
        raise SavedRightsError(path, "it has another form") from error
    if whose != (tenant, person.lower()):
        raise SavedRightsError(path, "they are somebody else's")
    return at, found


def show_rights(found: Rights) -> None:
    """Print a row per object that may be read."""
    readable = {name: each for name, each in found.items() if each.is_readable}
    console = Console()
    if not readable:
        console.print("Nothing may be read.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("object", "fields", "records", "rule"):
        table.add_column(title, overflow="fold")
    for name, each in sorted(readable.items()):
        records = "not synced" if each.records is None else f"{each.records:,}"
        table.add_row(*map(escape, (name, str(len(each.fields)), records, each.rule)))
    console.print(table)


def show_differences(names: Sequence[str], found: Sequence[Difference]) -> None:
    """Print a row per difference."""
    console = Console()
    if not found:
        console.print("The rights are the same.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("object", "what", *names):
        table.add_column(escape(title), overflow="fold")
    for each in found:
        table.add_row(*map(escape, (each.object, each.what, each.first, each.second)))
    console.print(table)
