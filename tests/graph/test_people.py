"""People are matched by link or e-mail, and everybody who is not is told with the reason."""

from __future__ import annotations

import pytest

from firnline.access.model import Person
from firnline.graph.people import Roster, known_people

CRM = Roster(
    active=(
        Person("Ana@Acme.example", "Ana", "", "005A"),
        Person("two@acme.example", "Two", "", "005B"),
        Person("two@acme.example", "Two", "", "005C"),
    ),
    inactive=(Person("cy@acme.example", "Cy", "deactivated", "005D"),),
)
DESK = Roster(active=(Person("ana.kern@old.example", "Ana K.", "", "71"),))
LINKS = {
    "ana@acme.example": {"desk": "ana.kern@old.example"},
    "bo@acme.example": {"crm": "005A", "desk": "99"},
}


@pytest.mark.parametrize(
    ("email", "crm", "desk"),
    [
        ("ana@acme.example", ("e-mail", "005A"), ("link", "71")),
        ("bo@acme.example", ("link", "005A"), ("broken link", "")),
        ("cy@acme.example", ("inactive", "005D"), ("unmatched", "")),
        ("two@acme.example", ("several", ""), ("unmatched", "")),
        ("ana.kern@old.example", ("unmatched", ""), ("e-mail", "71")),
    ],
)
def test_person_is_matched_at_each_system(
    email: str, crm: tuple[str, str], desk: tuple[str, str]
) -> None:
    found = {each.email: each for each in known_people({"crm": CRM, "desk": DESK}, LINKS)}
    at = {place: (each.state, each.user) for place, each in found[email].at.items()}
    assert at == {"crm": crm, "desk": desk}


def test_everybody_is_told_once_with_a_name() -> None:
    found = known_people({"crm": CRM, "desk": DESK}, LINKS)
    assert [(each.email, each.name) for each in found] == [
        ("ana.kern@old.example", "Ana K."),
        ("ana@acme.example", "Ana"),
        ("bo@acme.example", ""),
        ("cy@acme.example", "Cy"),
        ("two@acme.example", "Two"),
    ]
    (note,) = [each.at["crm"].note for each in found if each.name == "Two"]
    assert "005B, 005C" in note
    (note,) = [each.at["crm"].note for each in found if each.name == "Cy"]
    assert note == "deactivated"
