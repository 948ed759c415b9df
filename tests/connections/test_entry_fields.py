"""What a connector may declare about keys, passwords, logins and CSRF tokens."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from firnline.connectors.auth_flows import Auth, fields_of
from firnline.connectors.manifest import Csrf

AUTH: TypeAdapter[Auth] = TypeAdapter(Auth)
USERNAME = {"name": "username", "title": "User"}
PASSWORD = {"name": "password", "title": "Password"}
LOGIN = {"flow": "session", "login_path": "/Login", "body": {}, "cookies": ["S"]}


@pytest.mark.parametrize(
    "declared",
    [
        {"flow": "api_key"},
        {"flow": "basic"},
        LOGIN,
    ],
)
def test_flow_without_fields_of_its_own_asks_for_the_usual_ones(declared: dict[str, Any]) -> None:
    fields = fields_of(AUTH.validate_python(declared))

    names = [field.name for field in fields]
    assert names == (["api_key"] if declared["flow"] == "api_key" else ["username", "password"])
    for field in fields:
        assert re.fullmatch(field.pattern, "pat-na1 key".replace(" ", "-"))
        for hostile in ("", "a\r\nx-injected: 1", "a\x00", "\x7f"):
            assert not re.fullmatch(field.pattern, hostile)


def test_flow_that_needs_no_entry_has_no_fields() -> None:
    declared = {"flow": "client_assertion", "token_url": "", "scopes": [], "algorithms": []}

    assert fields_of(AUTH.validate_python(declared)) == ()


@pytest.mark.parametrize(
    "declared",
    [
        {"flow": "basic", "fields": [USERNAME]},
        {"flow": "basic", "fields": [USERNAME, PASSWORD, PASSWORD]},
        {"flow": "api_key", "fields": []},
        {"flow": "api_key", "fields": [{"name": "API key", "title": "Key"}]},
        {"flow": "api_key", "header": "X-Key: canary\r\nX"},
        {"flow": "api_key", "title": "Key"},
        {**LOGIN, "cookies": []},
        {**LOGIN, "login_path": "https://evil.example/login"},
        {**LOGIN, "login_path": "//evil.example/login"},
        {**LOGIN, "logout_path": "//evil.example/logout"},
    ],
)
def test_declaration_that_could_not_be_used_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AUTH.validate_python(declared)


@pytest.mark.parametrize("path", ["", "root", "//evil.example/", "https://evil.example/"])
def test_csrf_token_is_read_from_a_path_of_the_own_origin(path: str) -> None:
    assert Csrf(path="/root/").header == "X-CSRF-Token"
    with pytest.raises(ValidationError):
        Csrf(path=path)
