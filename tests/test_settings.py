"""Settings: a wrong environment is told with its variable and without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from firnline.access.keys import SigningKeysError
from firnline.access.principal import TokenVerifier
from firnline.clock import SystemClock
from firnline.settings import SettingsInvalidError, read_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FIRNLINE_ROUTES", "garbage"),
        ("FIRNLINE_ROUTES", "[]"),
        ("FIRNLINE_ROUTES", '{"https://a.example": "http://b.example"}'),
        ("FIRNLINE_JWT_KEYS", "{"),
        ("FIRNLINE_JWT_ISSUERS", "{"),
        ("FIRNLINE_JWT_ISSUERS", "{}"),
        ("FIRNLINE_JWT_ISSUERS", '[{"issuer": "a", "audience": "b"}]'),
        ("FIRNLINE_JWT_ISSUERS", '[{"issuer": "", "audience": "b", "keys": {}}]'),
        ("FIRNLINE_JWT_ISSUERS", '[{"issuer": "a", "audience": ["b"], "keys": {}}]'),
        ("FIRNLINE_JWT_ISSUERS", '[{"issuer": "a", "audience": "b", "keys": {}, "kyes": 1}]'),
        *(
            ("FIRNLINE_JWT_ISSUERS", f'[{{"issuer": "a", "audience": "b", "jwks_url": "{url}"}}]')
            for url in ("http://id.example/k", "https://u@id.example/k", "file:///k", "https:///k")
        ),
        (
            "FIRNLINE_JWT_ISSUERS",
            '[{"issuer": "a", "audience": "b", "keys": {}, "jwks_url": "https://id.example/k"}]',
        ),
        (
            "FIRNLINE_JWT_ISSUERS",
            '[{"issuer": "a", "audience": "b", "keys": {}, "algorithms": ["HS256"]}]',
        ),
        (
            "FIRNLINE_JWT_ISSUERS",
            '[{"issuer": "a", "audience": "b", "keys": {}},'
            ' {"issuer": "a", "audience": "c", "keys": {}}]',
        ),
        ("FIRNLINE_DEVELOPMENT", "perhaps"),
        ("FIRNLINE_REQUEST_DEADLINE_S", "0"),
        ("FIRNLINE_PROVIDER_DEADLINE_S", "nan"),
        ("FIRNLINE_DUCKDB_MEMORY", "plenty"),
        ("FIRNLINE_DUCKDB_THREADS", "0"),
        ("FIRNLINE_PUBLIC_URL", "firnline.builder.example"),
        ("FIRNLINE_PUBLIC_URL", "http://firnline.example.com"),
        ("FIRNLINE_PUBLIC_URL", "https://firnline.example.com/below"),
        ("FIRNLINE_PUBLIC_URL", "https://firnline.example.com?x=1"),
        ("FIRNLINE_RETURN_TO", '["http://app.example.com/"]'),
        ("FIRNLINE_RETURN_TO", '["https://app.example.com/?next=1"]'),
        ("FIRNLINE_RETURN_TO", '["https://app.example.com@evil.example/"]'),
        ("FIRNLINE_CONNECT_FRAME_ANCESTORS", '["https://app.example.com/path"]'),
        ("FIRNLINE_CONNECT_FRAME_ANCESTORS", '["https://a.example; script-src *"]'),
        ("FIRNLINE_CONNECT_FRAME_ANCESTORS", '["*"]'),
    ],
)
def test_wrong_variable_is_an_error_that_names_it_and_not_its_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsInvalidError) as caught:
        read_settings()

    told = f"{caught.value.message} {caught.value.hint}"
    assert variable.removeprefix("FIRNLINE_").casefold() in told.casefold()
    assert caught.value.exit_code == 2
    assert len(value) < 4 or value not in told


@pytest.mark.parametrize("memory", ["512MB", "1.5 GB", "2GiB"])
def test_memory_is_given_in_units_of_duckdb(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRNLINE_DUCKDB_MEMORY", memory)

    assert read_settings().duckdb_memory == memory


def test_env_file_that_is_no_text_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"FIRNLINE_JWT_ISSUER=\xff\xfe\x00")

    with pytest.raises(SettingsInvalidError, match=r"\.env cannot be read"):
        read_settings()


@pytest.mark.parametrize("development", ["true", "false"])
def test_key_set_without_a_list_of_keys_is_an_error(
    development: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_JWT_KEYS", '{"keys": 5}')
    monkeypatch.setenv("FIRNLINE_DEVELOPMENT", development)

    with pytest.raises(SigningKeysError, match="must be a list"):
        TokenVerifier.from_settings(read_settings(), clock=SystemClock())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://firnline.example.com/", "https://firnline.example.com"),
        ("http://localhost:9000", "http://localhost:9000"),
    ],
)
def test_public_address_is_an_origin(
    monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.setenv("FIRNLINE_PUBLIC_URL", given)

    assert read_settings().public_url == kept
