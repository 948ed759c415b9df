"""The search for secrets finds them in every form; one that could not fail would prove nothing."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Callable
from urllib.parse import quote

import pytest
from tests.end_to_end.canaries.needles import Haystack, Needles, Secret

PLANTED = 'Zq8-"canary<of>a&token%/+ü_K3v9w1Xy'


@pytest.mark.parametrize(
    "written",
    [
        str,
        lambda secret: secret[:24],
        lambda secret: secret[-24:],
        lambda secret: quote(secret, safe=""),
        html.escape,
        lambda secret: json.dumps({"a": secret}),
        repr,
        lambda secret: repr(secret.encode()),
        lambda secret: secret.encode().hex(),
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(f"rita:{secret}".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"ri:{secret} and more".encode()).decode(),
    ],
)
@pytest.mark.parametrize("before", range(9))
def test_secret_is_found_in_every_form_and_at_every_place(
    written: Callable[[str], str], before: int
) -> None:
    needles = Needles([Secret("token", PLANTED.encode()), Secret("other", b"0123456789")])
    text = "x" * before + written(PLANTED) + " and what follows"
    found = needles.find("log", text.encode())

    assert {each.kind for each in found} == {"token"}
    assert not needles.find("log", b"x" * before + b"nothing is here: canary, token, Zq8")


def test_key_is_found_by_each_of_its_bytes_and_lines() -> None:
    key = os.urandom(32)
    pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(os.urandom(96)) + b"\n-----END"
    needles = Needles([Secret("key", key), Secret("pem", pem)])

    assert needles.find("file", b"SQLite" + key) and needles.find("log", repr(key).encode())
    assert needles.find("log", key.hex().encode())
    assert needles.find("log", b"-----BEGIN PRIVATE KEY-----\\n" + pem.split(b"\n")[1])


def test_place_may_show_only_what_it_is_there_for() -> None:
    hay = Haystack()
    hay.add("stdout keys create", f"{PLANTED} 0123456789", allowed={"key"})
    found = hay.search(Needles([Secret("key", PLANTED.encode()), Secret("other", b"0123456789")]))
    assert [each.kind for each in found] == ["other"]
