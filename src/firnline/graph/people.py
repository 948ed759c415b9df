"""Who is known at a tenant, and by what each connected system matches them.

Takes the users whom the connectors tell and the spec's links; `firnline people` shows the result.
Matching is that of `access.people`: by link where the spec states one, else by e-mail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from firnline.access.model import Person
from firnline.access.people import Links, link_of
from firnline.cache.permission_rows import CachedPermissionRows
from firnline.connectors.registry import load_connector
from firnline.graph.shape import TenantGraph

# A link that leads to nobody, and several users of one e-mail, are told apart from no user at all:
# each is mended in another place.
State = Literal["e-mail", "link", "inactive", "several", "broken link", "unmatched"]


@dataclass(frozen=True, slots=True)
class Roster:
    """The users of one connection; of the inactive ones `title` says why."""

    active: Sequence[Person] = ()
    inactive: Sequence[Person] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is at one connection; `user` is their key there."""

    state: State
    user: str = ""
    note: str = ""

    @property
    def is_matched(self) -> bool:
        """Say whether the person has a user there, and with it rights."""
        return self.state in ("e-mail", "link")

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON has it."""
        told = {"state": self.state, "user": self.user, "note": self.note}
        return {name: each for name, each in told.items() if each}


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """One person, as tokens name them."""

    email: str
    name: str = ""
    at: Mapping[str, Standing] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        at = {connection: each.as_dict() for connection, each in self.at.items()}
        return {"email": self.email, "name": self.name, "at": at}


def rosters(
    graph: TenantGraph, stored: Mapping[str, Mapping[str, frozenset[str]]], snapshot: Any
) -> dict[str, Roster]:
    """Return the users of each connection; `stored` are the fields that the cache holds."""
    found = {}
    for name, catalog in graph.catalogs.items():
        rows = CachedPermissionRows(
            *(snapshot.fetch, name, catalog, graph.columns[name], stored.get(name, {}))
        )
        connector = load_connector(catalog.provider)
        found[name] = Roster(connector.people(rows), connector.inactive(rows))
    return found


def known_people(rosters: Mapping[str, Roster], links: Links) -> list[KnownPerson]:
    """Return everybody whom a system knows or a link names, by e-mail."""
    names: dict[str, str] = {email.lower(): "" for email in links}
    for person in _everyone(rosters):
        email = person.email.lower()
        names[email] = names.get(email) or person.name
    return [
        KnownPerson(
            email,
            name,
            {place: _standing(roster, email, link_of(links, email, place))
             for place, roster in rosters.items()},
        )
        for email, name in sorted(names.items())
    ]  # fmt: skip


def _everyone(rosters: Mapping[str, Roster]) -> Iterator[Person]:
    for roster in rosters.values():
        yield from roster.active
    for roster in rosters.values():
        yield from roster.inactive


def _standing(roster: Roster, email: str, link: str) -> Standing:
    wanted = (link or email).lower()
    by_key = bool(link) and "@" not in link

    def are(people: Sequence[Person]) -> list[Person]:
        if by_key:
            return [each for each in people if each.key == link]
        return [each for each in people if each.email.lower() == wanted]

    active, inactive = are(roster.active), are(roster.inactive)
    if len(active) > 1:
        keys = ", ".join(sorted(each.key for each in active))
        return Standing("several", note=f"active users {keys} have this e-mail")
    if active:
        return Standing("link" if link else "e-mail", active[0].key)
    if inactive:
        return Standing("inactive", inactive[0].key, inactive[0].title)
    if link:
        return Standing("broken link", note=f"the spec links to {link}, whom nobody knows there")
    return Standing("unmatched")
