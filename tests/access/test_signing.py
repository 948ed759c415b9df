"""The development key: made once, trusted only as what it is, and bounded in what it signs."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from firnline.access import signing
from firnline.access.signing import (
    TOKEN_LIFETIME_MAX_S,
    DevelopmentSigner,
    SigningKeyFileError,
    TokenLifetimeError,
)
from firnline.clock import FixedClock
from firnline.settings import Settings

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_S = int(START.timestamp())


def signer(home: Path) -> DevelopmentSigner:
    return DevelopmentSigner(home, issuer="us", audience="them", clock=FixedClock(START))


def claims(signed_by: DevelopmentSigner, token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set(signed_by.public_keys)  # type: ignore[arg-type]
    return dict(jwt.decode(token, keys, algorithms=["ES256"]).claims)


def test_token_holds_whom_it_names_and_for_how_long(tmp_path: Path) -> None:
    mine = signer(tmp_path)
    plain = claims(mine, mine.issue_token("acme", "ana@acme.example"))
    jti = plain.pop("jti")
    assert plain == {
        "iss": "us",
        "aud": "them",
        "sub": "ana@acme.example",
        "tenant": "acme",
        "iat": NOW_S,
        "exp": NOW_S + 3600,
    }
    again = claims(mine, mine.issue_token("acme", "ana@acme.example", 1, name="Ana"))
    assert (again["exp"], again["name"]) == (NOW_S + 1, "Ana")
    assert again["jti"] != jti


def test_further_claims_replace_none_of_the_tokens_own(tmp_path: Path) -> None:
    mine = signer(tmp_path)
    more = {"tenant": "globex", "exp": NOW_S * 2, "sub": "bo@acme.example", "purpose": "support"}
    told = claims(mine, mine.issue_token("acme", "ana@acme.example", more=more))
    assert (told["tenant"], told["sub"]) == ("acme", "ana@acme.example")
    assert told["exp"] == NOW_S + 3600
    assert told["purpose"] == "support"


@pytest.mark.parametrize("lifetime_s", [1, TOKEN_LIFETIME_MAX_S])
def test_shortest_and_longest_lifetime_are_signed(tmp_path: Path, lifetime_s: int) -> None:
    mine = signer(tmp_path)
    token = mine.issue_token("acme", "ana@acme.example", lifetime_s)
    assert claims(mine, token)["exp"] == NOW_S + lifetime_s


@pytest.mark.parametrize("lifetime_s", [0, -1, TOKEN_LIFETIME_MAX_S + 1])
def test_lifetime_out_of_bounds_is_refused_with_the_bounds(tmp_path: Path, lifetime_s: int) -> None:
    with pytest.raises(TokenLifetimeError, match=str(lifetime_s)) as caught:
        signer(tmp_path).issue_token("acme", "ana@acme.example", lifetime_s)
    error = caught.value
    assert (error.code, error.status, error.exit_code) == ("token_lifetime", 400, 2)
    assert str(TOKEN_LIFETIME_MAX_S) in error.hint


def test_installations_issuer_and_audience_are_signed_unless_told_otherwise(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, jwt_issuer="here", jwt_audience="gateway")
    mine = DevelopmentSigner.from_settings(settings, clock=FixedClock(START))
    told = claims(mine, mine.issue_token("acme", "ana@acme.example"))
    assert (told["iss"], told["aud"]) == ("here", "gateway")
    other = DevelopmentSigner.from_settings(settings, clock=FixedClock(START), audience="console")
    assert claims(other, other.issue_token("acme", "ana@acme.example"))["aud"] == "console"


def test_public_key_is_published_readable_and_without_its_secret(tmp_path: Path) -> None:
    (key,) = signer(tmp_path).public_keys["keys"]
    assert (key["use"], key["alg"], key["crv"]) == ("sig", "ES256", "P-256")
    assert key["kid"]
    assert "d" not in key
    public = tmp_path / "jwt" / "public.json"
    assert stat.S_IMODE(public.stat().st_mode) & 0o044
    public.write_text("{}")
    assert signer(tmp_path).public_keys["keys"] == [key]
    assert json.loads(public.read_text()) == {"keys": [key]}, "a wrong file is written anew"


@pytest.mark.parametrize(
    "key",
    [
        ECKey.generate_key("P-256").as_dict(private=False),
        ECKey.generate_key("P-384").as_dict(private=True),
    ],
    ids=["public", "another curve"],
)
def test_key_of_another_kind_is_refused(tmp_path: Path, key: dict[str, Any]) -> None:
    (tmp_path / "jwt").mkdir()
    (tmp_path / "jwt" / "private.json").write_text(json.dumps(key))
    with pytest.raises(SigningKeyFileError, match="not a private P-256 key") as caught:
        signer(tmp_path)
    assert caught.value.code == "signing_key_file"


def test_folder_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "jwt").write_text("a file is in the way")
    with pytest.raises(SigningKeyFileError, match=r"is out of reach \(File exists\)"):
        signer(tmp_path)


def test_program_that_comes_second_uses_the_key_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw no key; the first one writes its own while the second still makes another."""
    first: list[DevelopmentSigner] = []
    create = signing._create

    def late(path: Path, text: str, *, mode: int) -> None:
        create(path, text, mode=mode)
        if not first:
            monkeypatch.setattr(signing, "_create", create)
            first.append(signer(tmp_path))

    monkeypatch.setattr(signing, "_create", late)
    second = signer(tmp_path)

    assert second.public_keys == first[0].public_keys
    names = sorted(path.name for path in (tmp_path / "jwt").iterdir())
    assert names == ["private.json", "public.json"]
