"""Attacks on bearer tokens, and what a good one names."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from firnline.access.keys import SigningKeysError
from firnline.access.principal import (
    TOKEN_BYTES_MAX,
    Principal,
    TokenExpiredError,
    TokenRefusedError,
    TokenVerifier,
)
from firnline.access.signing import (
    DevelopmentSigner,
    SigningKeyFileError,
    TokenLifetimeError,
)
from firnline.clock import FixedClock
from firnline.settings import Settings

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_S = int(START.timestamp())
EC = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
ED = OKPKey.generate_key("Ed25519")


def public(key: Key, key_id: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key_id}


KEYS = {"keys": [public(EC, "ec"), public(RSA, "rsa"), public(ED, "ed")]}


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims with `changes`; a change to None removes the claim."""
    good = {
        "iss": "firnline",
        "aud": "firnline",
        "sub": "ana@acme.example",
        "tenant": "acme",
        "iat": NOW_S,
        "exp": NOW_S + 300,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def segment(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return an ES256 token made without a library's checks of the header."""
    head = segment({"alg": "ES256", "kid": "ec", **(header or {})})
    body = segment(claims(**changes))
    algorithm = jws.JWSRegistry.algorithms["ES256"]
    return f"{head}.{body}.{segment(algorithm.sign(f'{head}.{body}'.encode(), EC))}"


def verifier(clock: FixedClock | None = None, keys: Any = KEYS) -> TokenVerifier:
    return TokenVerifier.of_keys(
        keys, issuer="firnline", audience="firnline", clock=clock or FixedClock(START)
    )


def refusal(token: str) -> str:
    with pytest.raises(TokenRefusedError) as caught:
        verifier().verify(token)
    error = caught.value
    assert (error.code, error.status) == ("token_refused", 401)
    assert error.hint
    if token:
        assert token not in str(error), "a refusal must not repeat the token"
    return error.message


@pytest.mark.parametrize(
    ("key", "key_id", "algorithm"),
    [
        (EC, "ec", "ES256"),
        (RSA, "rsa", "RS256"),
        (RSA, "rsa", "PS256"),
        (ED, "ed", "EdDSA"),
        (ED, "ed", "Ed25519"),
    ],
)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_token_of_each_accepted_algorithm_names_its_principal(
    key: Key, key_id: str, algorithm: str
) -> None:
    token = jwt.encode(
        {"alg": algorithm, "kid": key_id}, claims(name="Ana"), key, algorithms=[algorithm]
    )
    assert verifier().verify(token) == Principal("acme", "ana@acme.example", "Ana")


def test_email_claim_wins_over_subject_and_ascii_case_is_folded() -> None:
    who = verifier().verify(signed(sub="00u1", email="Ana.B@Acme.Example", scope="read write"))
    assert who.email == "ana.b@acme.example"
    assert who.scopes == {"read", "write"}


def test_letter_that_lower_cases_to_ascii_stays_another_person() -> None:
    """U+212A KELVIN SIGN lower-cases to k: folding it would let one address be another."""
    assert verifier().verify(signed(sub="\u212aim@acme.example")).email == "\u212aim@acme.example"


def unsigned(algorithm: str) -> str:
    return f"{segment({'alg': algorithm, 'kid': 'ec'})}.{segment(claims())}."


def hmac_with_public_key() -> str:
    """HS256 keyed with the public key's text, the classic confusion."""
    head, body = segment({"alg": "HS256", "kid": "rsa"}), segment(claims())
    mac = hmac.HMAC(RSA.as_pem(private=False), hashes.SHA256())
    mac.update(f"{head}.{body}".encode())
    return f"{head}.{body}.{segment(mac.finalize())}"


def tampered() -> str:
    head, _, signature = signed().split(".")
    return f"{head}.{segment(claims(tenant='globex'))}.{signature}"


def signed_by_stranger(header: dict[str, Any]) -> str:
    stranger = ECKey.generate_key("P-256")
    head = segment(
        {"alg": "ES256", "kid": "ec", **header}
        | ({"jwk": stranger.as_dict(private=False)} if "jwk" in header else {})
    )
    body = segment(claims())
    algorithm = jws.JWSRegistry.algorithms["ES256"]
    return f"{head}.{body}.{segment(algorithm.sign(f'{head}.{body}'.encode(), stranger))}"


def json_form(signatures: list[Any]) -> str:
    return json.dumps({"payload": segment(claims()), "signatures": signatures})


ATTACKS: dict[str, tuple[Callable[[], str], str]] = {
    "empty": (lambda: "", "compact"),
    "alg none without signature": (lambda: unsigned("none"), "compact"),
    "alg none with some signature": (lambda: unsigned("none") + "AA", "algorithm"),
    "alg None in capitals": (lambda: unsigned("NONE") + "AA", "algorithm"),
    "HS256 with the public key": (hmac_with_public_key, "algorithm"),
    "algorithm of another key kind": (lambda: signed({"alg": "RS256"}), "algorithm"),
    "unknown algorithm": (lambda: signed({"alg": "ES999"}), "algorithm"),
    "algorithm as list": (lambda: signed({"alg": ["ES256"]}), "algorithm"),
    "unknown kid": (lambda: signed({"kid": "nope"}), "kid"),
    "kid as path": (lambda: signed({"kid": "../../etc/passwd"}), "kid"),
    "kid as list": (lambda: signed({"kid": ["ec"]}), "kid"),
    "kid missing": (lambda: signed({"kid": None}), "kid"),
    "other key's kid": (lambda: signed({"kid": "rsa"}), "algorithm"),
    "stranger's signature": (lambda: signed_by_stranger({}), "signature"),
    "jwk in header": (lambda: signed_by_stranger({"jwk": True}), "jwk"),
    "jku in header": (lambda: signed({"jku": "https://evil.example/k"}), "jku"),
    "x5u in header": (lambda: signed({"x5u": "https://evil.example/c"}), "x5u"),
    "x5c in header": (lambda: signed({"x5c": ["MIIB"]}), "x5c"),
    "crit in header": (lambda: signed({"crit": ["exp"]}), "crit"),
    "unencoded payload": (lambda: signed({"b64": False}), "b64"),
    "other type": (lambda: signed({"typ": "logout+jwt"}), "type"),
    "tampered payload": (tampered, "signature"),
    "padded base64": (lambda: signed() + "=", "compact"),
    "trailing newline": (lambda: signed() + "\n", "compact"),
    "five parts": (lambda: signed() + ".AA.AA", "compact"),
    "header that is no JSON": (lambda: "AAAA.AAAA.AAAA", "header"),
    "header that is a list": (lambda: f"{segment([1])}.AAAA.AAAA", "header"),
    "deeply nested header": (lambda: f"{segment(b'[' * 5000)}.AAAA.AAAA", "header"),
    "oversize": (lambda: signed(note="x" * TOKEN_BYTES_MAX), "longer"),
    "JSON form without signatures": (lambda: json_form([]), "compact"),
    "JSON form with empty signature": (lambda: json_form([{"signature": ""}]), "compact"),
    "issuer missing": (lambda: signed(iss=None), "iss"),
    "issuer of another": (lambda: signed(iss="firnline.evil"), "iss"),
    "issuer as list": (lambda: signed(iss=["firnline"]), "iss"),
    "audience as list": (lambda: signed(aud=["firnline", "other"]), "aud"),
    "audience of another": (lambda: signed(aud="other"), "aud"),
    "audience missing": (lambda: signed(aud=None), "aud"),
    "expiry missing": (lambda: signed(exp=None), "exp"),
    "expiry as text": (lambda: signed(exp="9999999999"), "exp"),
    "expiry as boolean": (lambda: signed(exp=True), "exp"),
    "expiry not a number": (lambda: signed(exp=float("nan")), "exp"),
    "expiry infinite": (lambda: signed(exp=float("inf")), "exp"),
    "expired beyond the skew": (lambda: signed(exp=NOW_S - 61), "expired"),
    "not yet valid beyond the skew": (lambda: signed(nbf=NOW_S + 61), "nbf"),
    "far not-before": (lambda: signed(nbf=NOW_S + 10**9), "nbf"),
    "issued in the future": (lambda: signed(iat=NOW_S + 61), "iat"),
    "tenant missing": (lambda: signed(tenant=None), "tenant"),
    "tenant as path": (lambda: signed(tenant="../globex"), "tenant"),
    "tenant as list": (lambda: signed(tenant=["acme"]), "tenant"),
    "tenant with newline": (lambda: signed(tenant="acme\n"), "tenant"),
    "person missing": (lambda: signed(sub=None), "e-mail"),
    "person without address": (lambda: signed(sub="ana"), "e-mail"),
    "person with newline": (lambda: signed(sub="ana@acme.example\nx"), "e-mail"),
    "person as list": (lambda: signed(email=["ana@acme.example"]), "e-mail"),
    "unverified address": (lambda: signed(email_verified=False), "verified"),
    "unverified address as text": (lambda: signed(email_verified="false"), "verified"),
    "scope as list": (lambda: signed(scope=["admin"]), "scope"),
}


@pytest.mark.parametrize(("make", "reason"), ATTACKS.values(), ids=ATTACKS)
def test_attack_is_refused_with_its_reason(make: Callable[[], str], reason: str) -> None:
    assert reason in refusal(make())


def test_token_as_long_as_it_may_be_is_read_and_a_name_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = signed(name="x" * 201)
    monkeypatch.setattr("firnline.access.principal.TOKEN_BYTES_MAX", len(token))
    assert verifier().verify(token).name == "x" * 200
    monkeypatch.setattr("firnline.access.principal.TOKEN_BYTES_MAX", len(token) - 1)
    assert f"longer than {len(token) - 1} bytes" in refusal(token)


def test_times_within_the_skew_are_accepted() -> None:
    token = signed(exp=NOW_S - 59, nbf=NOW_S + 59, iat=NOW_S + 59)
    assert verifier().verify(token).tenant == "acme"


async def test_token_expires_by_our_clock() -> None:
    clock = FixedClock(START)
    checks = verifier(clock)
    assert checks.verify(signed()).tenant == "acme"
    await clock.sleep(361)
    with pytest.raises(TokenRefusedError, match="expired"):
        checks.verify(signed())


async def test_seconds_left_are_those_for_which_the_token_goes_on_being_accepted() -> None:
    clock = FixedClock(START)
    checks = verifier(clock)
    token = signed()
    assert checks.seconds_left(token) == 0, "of a token that was not verified nothing is known"
    checks.verify(token)
    assert checks.seconds_left(token) == 360
    await clock.sleep(359.5)
    assert checks.seconds_left(token) == 0.5
    assert checks.verify(token).tenant == "acme"
    await clock.sleep(0.5)
    assert checks.seconds_left(token) == 0
    with pytest.raises(TokenRefusedError, match="expired"):
        checks.verify(token)


def test_expired_token_of_a_subscription_is_named_with_the_next_step() -> None:
    error = TokenExpiredError()
    assert (error.code, error.status) == ("token_expired", 401)
    assert "current token" in error.hint


def test_verifier_without_keys_refuses_everything() -> None:
    with pytest.raises(TokenRefusedError, match="kid"):
        verifier(keys={}).verify(signed())


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        ({**OctKey.generate_key(256).as_dict(), "kid": "a"}, "shared secret"),
        ({**EC.as_dict(private=True), "kid": "a"}, "private key"),
        ({"kty": "RSA", "kid": "a", "e": "AQAB", "n": segment(b"\xc1" * 128)}, "not accepted"),
        (public(ECKey.generate_key("P-384"), "a"), "not accepted"),
        ({**public(EC, "a"), "alg": "HS256"}, "not accepted"),
        ({**public(EC, "a"), "use": "enc"}, "not for signatures"),
        (EC.as_dict(private=False), "no `kid`"),
        (public(EC, "ec"), "repeats"),
        (public(EC, ""), "no `kid`"),
        ({**EC.as_dict(private=False), "kid": 7}, "no `kid`"),
        ({"kty": "EC", "kid": "a", "crv": "P-256", "x": "!", "y": "!"}, "malformed"),
        ("text", "not an object"),
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_untrustworthy_key_in_the_set_is_refused_at_start(jwk: Any, reason: str) -> None:
    with pytest.raises(SigningKeysError, match=f"key 2 .*{reason}"):
        verifier(keys={"keys": [public(EC, "ec"), jwk]})


@pytest.mark.parametrize("listed", [{}, "text", None, 7])
def test_key_set_without_a_list_of_keys_is_refused_at_start(listed: Any) -> None:
    with pytest.raises(SigningKeysError, match="must be a list"):
        verifier(keys={"keys": listed})


def signer(home: Path, clock: FixedClock | None = None) -> DevelopmentSigner:
    return DevelopmentSigner(
        home, issuer="firnline", audience="firnline", clock=clock or FixedClock(START)
    )


def test_development_token_is_trusted_in_development_only(tmp_path: Path) -> None:
    token = signer(tmp_path).issue_token("acme", "ana@acme.example", 60, name="Ana")
    clock = FixedClock(START + timedelta(seconds=30))

    trusting = TokenVerifier.from_settings(Settings(home=tmp_path, development=True), clock=clock)
    assert trusting.verify(token) == Principal("acme", "ana@acme.example", "Ana")

    production = TokenVerifier.from_settings(Settings(home=tmp_path, jwt_keys=KEYS), clock=clock)
    with pytest.raises(TokenRefusedError, match="kid"):
        production.verify(token)


def test_configured_keys_are_trusted_in_development_and_in_production(tmp_path: Path) -> None:
    for development in (True, False):
        settings = Settings(home=tmp_path, jwt_keys=KEYS, development=development)
        checks = TokenVerifier.from_settings(settings, clock=FixedClock(START))
        assert checks.verify(signed()).tenant == "acme"


def test_development_key_is_private_to_its_owner_and_kept(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        first = signer(tmp_path).public_keys
    finally:
        os.umask(old_mask)
    private = tmp_path / "jwt" / "private.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert signer(tmp_path).public_keys == first
    published = json.loads((tmp_path / "jwt" / "public.json").read_text())
    assert published == first
    assert "d" not in published["keys"][0]


def test_programs_starting_together_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        sets = list(pool.map(lambda _: signer(tmp_path).public_keys, range(16)))
    assert all(keys == sets[0] for keys in sets)
    assert sorted(path.name for path in (tmp_path / "jwt").iterdir()) == [
        "private.json",
        "public.json",
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"kty":"EC"}'])
def test_damaged_development_key_is_named_with_a_next_step(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "jwt").mkdir()
    (tmp_path / "jwt" / "private.json").write_bytes(content)
    with pytest.raises(SigningKeyFileError, match="damaged") as caught:
        signer(tmp_path)
    assert "Remove" in caught.value.hint


@pytest.mark.parametrize("lifetime_s", [0, -1, 10**9])
def test_token_lifetime_is_bounded(tmp_path: Path, lifetime_s: int) -> None:
    with pytest.raises(TokenLifetimeError):
        signer(tmp_path).issue_token("acme", "ana@acme.example", lifetime_s)


def twice(**claims_of: Any) -> str:
    """Return a well-signed token whose payload has a member twice."""
    head = segment({"alg": "ES256", "kid": "ec"})
    (name, value), *_ = claims_of.items()
    payload = json.dumps(claims())[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}"
    body = segment(payload.encode())
    algorithm = jws.JWSRegistry.algorithms["ES256"]
    return f"{head}.{body}.{segment(algorithm.sign(f'{head}.{body}'.encode(), EC))}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("tenant", "globex"), ("iss", "firnline"), ("exp", NOW_S + 9), ("aud", "firnline")],
)
def test_token_that_says_something_twice_is_refused(name: str, value: Any) -> None:
    assert "twice" in refusal(twice(**{name: value}))


def test_header_that_says_something_twice_is_refused() -> None:
    head = segment(b'{"alg": "none", "kid": "ec", "alg": "ES256"}')
    assert "its header is not JSON, or says something twice" in refusal(f"{head}.e30.AA")


@pytest.mark.parametrize("payload", [b"no JSON", b"[1]", b"7", b"[" * 5000, b"\xff"])
def test_payload_that_is_no_object_is_refused_before_its_signature_is_checked(
    payload: bytes,
) -> None:
    head = segment({"alg": "ES256", "kid": "ec"})
    assert "payload" in refusal(f"{head}.{segment(payload)}.AAAA")
