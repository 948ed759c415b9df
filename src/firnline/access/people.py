"""Who a person is at a provider: by the e-mail of their token, or by a link that the spec states.

Takes the links of one tenant; the rights of a person are read for whom this names. A link wins over
the e-mail, and one that leads to nobody leaves the person without rights: never somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from firnline.access.model import Person, SourceAccess

Links = Mapping[str, Mapping[str, str]]  # e-mail -> connection -> user key or e-mail there
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def link_of(links: Links, email: str, connection: str) -> str:
    """Return whom the spec links a person to, empty where it states nothing."""
    for written, by_connection in links.items():
        if written.translate(_ASCII_LOWER) == email:
            return by_connection.get(connection, "")
    return ""


def person_at(email: str, link: str, known: Callable[[], Sequence[Person]]) -> Person | None:
    """Return the person to read rights for; None when the link leads to no active user.

    `known` are the active users whom the provider's connector tells.
    """
    if not link or "@" in link:
        return Person(email=link or email)
    return next((Person(email=each.email) for each in known() if each.key == link), None)


def linked(access: SourceAccess, link: str) -> SourceAccess:
    """Return the rights read for a link, or none when they are of another user."""
    if link and "@" not in link and access.user_key != link:
        return unlinked(link)
    return access


def unlinked(link: str) -> SourceAccess:
    """Return the rights of a person whose link leads nowhere: none."""
    return SourceAccess(None, f"the spec links the person to {link}, who is no active user there")


def matched_by(access: SourceAccess, link: str) -> str:
    """Return by what a person was matched: link, e-mail, or nothing."""
    if access.user_key is None:
        return ""
    return "link" if link else "e-mail"
