"""Which form of parts a client accepts."""

from __future__ import annotations

import pytest

from firnline.web.parts import accepted_form


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("application/json", None),
        ("", None),
        ("*/*", None),
        ("multipart/mixed", ""),
        ("multipart/mixed, application/json", ""),
        ("multipart/mixed;deferSpec=20220824,application/json;q=0.9", "20220824"),
        ('multipart/mixed; deferSpec="20220824", application/json', "20220824"),
        ("multipart/mixed;incrementalSpec=v0.2,application/json", "v0.2"),
        ("multipart/mixed;deferSpec=20991231,application/json", None),
        ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json", None),
        ("multipart/mixedness, application/json", None),
    ],
)
def test_form_of_parts_is_the_one_that_the_client_names(accept: str, form: str | None) -> None:
    assert accepted_form(accept) == form
