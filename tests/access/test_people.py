"""Whom a person is taken for at a provider."""

from __future__ import annotations

import pytest

from firnline.access.model import Person, SourceAccess
from firnline.access.people import link_of, linked, matched_by, person_at, unlinked

LINKS = {"Ana@acme.example": {"crm": "U1", "desk": "ana.k@old.example"}}
KNOWN = (Person("zoe@x.test", key="U2"), Person("a.kern@x.test", key="U1"))


@pytest.mark.parametrize(
    ("email", "connection", "link"),
    [
        ("ana@acme.example", "crm", "U1"),
        ("ana@acme.example", "erp", ""),
        ("bo@acme.example", "crm", ""),
    ],
)
def test_link_is_found_by_the_address_of_the_token(email: str, connection: str, link: str) -> None:
    assert link_of(LINKS, email, connection) == link


@pytest.mark.parametrize(
    ("link", "email"),
    [("", "ana@acme.example"), ("ana.k@old.example", "ana.k@old.example"), ("U1", "a.kern@x.test")],
)
def test_rights_are_read_for_whom_the_link_names(link: str, email: str) -> None:
    assert person_at("ana@acme.example", link, lambda: KNOWN) == Person(email)


def test_link_to_nobody_leaves_no_rights_and_never_falls_back_to_the_address() -> None:
    assert person_at("zoe@x.test", "U9", lambda: KNOWN) is None
    assert unlinked("U9").user_key is None
    assert "U9" in unlinked("U9").reason


def test_rights_of_another_user_than_the_linked_one_are_none() -> None:
    """Two users of one address: what the connector picked must be the one that was meant."""
    assert linked(SourceAccess("U2"), "U1") == unlinked("U1")
    assert unlinked("U1").user_key is None
    assert linked(SourceAccess("U1"), "U1").user_key == "U1"
    assert linked(SourceAccess("U7"), "ana.k@old.example").user_key == "U7"
    assert linked(SourceAccess("U7"), "").user_key == "U7"


def test_match_is_told_by_what_it_came_about() -> None:
    assert matched_by(SourceAccess("U1"), "U1") == "link"
    assert matched_by(SourceAccess("U1"), "") == "e-mail"
    assert matched_by(SourceAccess(None), "U1") == ""
