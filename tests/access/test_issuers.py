"""Several issuers: each vouches with its own keys alone, for its own tenants alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key

from firnline.access.issuers import Issuer, IssuerKeys, issuers_from
from firnline.access.keys import SigningKeysError, published_keys
from firnline.access.principal import (
    Principal,
    TokenRefusedError,
    TokenVerifier,
    UnknownKeyError,
)
from firnline.clock import FixedClock
from firnline.settings import Settings

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_S = START.timestamp()
A = ECKey.generate_key("P-256")
B = ECKey.generate_key("P-256")


def jwks(**keys: Key) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in keys.items()]}


def token(key: Key, kid: str = "k", **changes: Any) -> str:
    claims = {
        "iss": "https://a.example",
        "aud": "firnline",
        "sub": "ana@acme.example",
        "tenant": "acme",
        "exp": int(NOW_S) + 300,
        **changes,
    }
    told = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": kid}, told, key, algorithms=["ES256"])


def settings(*issuers: dict[str, Any], **more: Any) -> Settings:
    full = [
        {"audience": "firnline", "keys": jwks(k=A), "issuer": "https://a.example", **each}
        for each in issuers
    ]
    return Settings(_env_file=None, jwt_issuers=full, **more)


def verifier(*issuers: dict[str, Any], **more: Any) -> TokenVerifier:
    return TokenVerifier.from_settings(settings(*issuers, **more), clock=FixedClock(START))


def refusal(checks: TokenVerifier, text: str) -> str:
    with pytest.raises(TokenRefusedError) as caught:
        checks.verify(text)
    return caught.value.message


def test_each_issuer_is_accepted_with_its_own_key_audience_and_claims() -> None:
    checks = verifier(
        {},
        {
            "issuer": "https://b.example",
            "audience": "api://firnline",
            "keys": jwks(k=B),
            "tenant_claim": "org",
            "email_claim": "upn",
        },
    )
    assert checks.verify(token(A)) == Principal("acme", "ana@acme.example")
    other = token(
        B, iss="https://b.example", aud="api://firnline", org="globex", upn="bo@globex.example"
    )
    assert checks.verify(other) == Principal("globex", "bo@globex.example")


def test_key_of_one_issuer_vouches_for_no_other() -> None:
    """Both have a key of the same id, and one of an id that the other has not."""
    checks = verifier(
        {"keys": jwks(k=A, own=A)}, {"issuer": "https://b.example", "keys": jwks(k=B)}
    )
    assert "signature" in refusal(checks, token(B))
    assert "signature" in refusal(checks, token(A, iss="https://b.example"))
    with pytest.raises(UnknownKeyError) as caught:
        checks.verify(token(A, "own", iss="https://b.example"))
    assert caught.value.issuer == "https://b.example"
    assert checks.verify(token(A, "own")).tenant == "acme"


@pytest.mark.parametrize(
    "issuer", [None, "", "https://c.example", "https://a.example/", ["https://a.example"], 7, True]
)
def test_token_of_an_issuer_that_is_not_configured_is_refused(issuer: Any) -> None:
    assert "issuer (iss)" in refusal(verifier({}), token(A, iss=issuer))


def test_audience_is_the_issuer_s_own() -> None:
    checks = verifier({}, {"issuer": "https://b.example", "audience": "b", "keys": jwks(k=B)})
    assert "aud" in refusal(checks, token(A, aud="b"))
    assert "aud" in refusal(checks, token(B, iss="https://b.example"))


def test_issuer_bound_to_tenants_speaks_for_them_alone() -> None:
    checks = verifier({"tenants": ["acme", "initech"]})
    assert checks.verify(token(A)).tenant == "acme"
    assert checks.verify(token(A, tenant="initech")).tenant == "initech"
    assert "does not speak for" in refusal(checks, token(A, tenant="globex"))
    assert "no tenant (tenant)" in refusal(checks, token(A, tenant=None))


def test_issuer_bound_to_one_tenant_need_not_name_it_and_may_name_no_other() -> None:
    checks = verifier({"tenants": ["acme"], "tenant_claim": "org"})
    assert checks.verify(token(A, tenant=None)).tenant == "acme"
    assert checks.verify(token(A, tenant="globex")).tenant == "acme", "that claim is not looked at"
    assert "does not speak for" in refusal(checks, token(A, org="globex"))
    assert "no tenant (org)" in refusal(checks, token(A, org=["acme"]))


def test_claim_that_names_the_person_is_the_configured_one_and_no_other() -> None:
    checks = verifier({"email_claim": "upn"})
    assert checks.verify(token(A, upn="Bo@Acme.example")).email == "bo@acme.example"
    assert "(upn)" in refusal(checks, token(A, email="ana@acme.example"))
    assert "(upn)" in refusal(checks, token(A, upn="bo"))
    default = verifier({})
    assert "(email or sub)" in refusal(default, token(A, email=None, sub=None))
    assert "(email or sub)" in refusal(default, token(A, email="bo")), "sub is no way around it"


def test_algorithms_of_an_issuer_narrow_those_of_its_keys() -> None:
    with pytest.raises(SigningKeysError, match="not accepted"):
        verifier({"algorithms": ["RS256"]})
    assert verifier({"algorithms": ["ES256", "RS256"]}).verify(token(A)).tenant == "acme"


def test_single_keys_and_listed_issuers_stand_beside_each_other(tmp_path: Path) -> None:
    both = verifier({}, jwt_keys=jwks(k=B), jwt_issuer="own", home=tmp_path)
    assert both.verify(token(A)).tenant == both.verify(token(B, iss="own")).tenant == "acme"
    assert "signature" in refusal(both, token(A, iss="own"))
    with pytest.raises(SigningKeysError, match="lists the issuer of FIRNLINE_JWT_KEYS again"):
        verifier({}, jwt_keys=jwks(k=B), jwt_issuer="https://a.example")
    alone = verifier({}, jwt_issuer="https://a.example")
    assert alone.verify(token(A)).tenant == "acme", "without keys there is no single issuer"


def test_issuer_whose_keys_are_elsewhere_has_none_until_they_were_read(tmp_path: Path) -> None:
    declared = settings(
        {"keys": None, "jwks_url": "https://a.example/keys", "algorithms": ["ES256"]},
        {"issuer": "b", "keys": None, "jwks_file": tmp_path / "keys.json", "tenants": ["x", "y"]},
    )
    one, two = issuers_from(declared, clock=FixedClock(START))
    assert one.issuer == Issuer(
        "https://a.example",
        "firnline",
        algorithms=frozenset({"ES256"}),
        jwks_url="https://a.example/keys",
    )
    assert (two.issuer.jwks_file, two.issuer.jwks_url) == (tmp_path / "keys.json", "")
    assert (two.issuer.tenants, two.issuer.implied_tenant) == (frozenset("xy"), "")
    checks = TokenVerifier([one, two], clock=FixedClock(START))
    with pytest.raises(UnknownKeyError) as caught:
        checks.verify(token(A))
    assert (caught.value.code, caught.value.status) == ("token_refused", 401)
    assert "kid" in caught.value.message


class Rotating:
    """A verifier of one issuer whose keys are replaced while it runs."""

    def __init__(self, **keys: Key) -> None:
        self.clock = FixedClock(START)
        self.keys = IssuerKeys(Issuer("https://a.example", "firnline"))
        self.checks = TokenVerifier([self.keys], clock=self.clock)
        self.publish(**keys)

    def publish(self, ends_s: float = NOW_S + 86_400, **keys: Key) -> bool:
        return self.keys.replace(published_keys(jwks(**keys)), ends_s=ends_s)

    def accepts(self, text: str) -> bool:
        try:
            return self.checks.verify(text).tenant == "acme"
        except TokenRefusedError:
            return False


def test_token_ends_with_its_key_though_it_was_verified_before() -> None:
    world = Rotating(old=A, new=B)
    old, new = token(A, "old"), token(B, "new")
    assert world.accepts(old) and world.accepts(new)

    assert world.publish(new=B)
    assert not world.accepts(old)
    assert world.accepts(new)

    assert world.publish(old=A, new=B)
    assert world.accepts(old), "a key that is back counts again"


def test_token_ends_when_another_key_takes_its_key_s_id() -> None:
    world = Rotating(k=A)
    first = token(A)
    assert world.accepts(first)
    assert world.publish(k=B)
    assert not world.accepts(first)
    assert world.accepts(token(B))


def test_keys_that_could_not_be_read_again_end_at_their_moment() -> None:
    world = Rotating()
    world.publish(NOW_S + 100, k=A)
    text = token(A)
    assert world.accepts(text)
    world.clock._now = START + timedelta(seconds=99)
    assert world.accepts(text) and world.accepts(token(A, sub="bo@acme.example"))
    world.clock._now = START + timedelta(seconds=100)
    assert not world.accepts(text)
    assert not world.accepts(token(A, sub="mia@acme.example"))
    world.publish(NOW_S + 200, k=A)
    assert world.accepts(text)


def test_same_keys_read_again_are_no_change_and_known_tokens_stay_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Rotating(k=A, l=B)
    text = token(A)
    assert world.accepts(text)
    assert not world.publish(l=B, k=A)

    def fail(*_: object) -> None:
        raise AssertionError("the signature was checked again")

    monkeypatch.setattr("firnline.access.principal._check_signature", fail)
    assert world.accepts(text)


def test_key_that_came_or_went_is_a_change() -> None:
    world = Rotating()
    assert world.publish(k=A)
    assert world.publish(k=A, l=B)
    assert world.publish(l=B)
    assert not world.publish(l=B)
    assert world.publish()
    assert not world.publish()


def test_keys_given_for_good_have_no_end() -> None:
    keys = IssuerKeys(Issuer("a", "b"), published_keys(jwks(k=A)))
    found = keys.find("k", now_s=1e15)
    assert found is not None and keys.holds(found, now_s=1e15)
    assert keys.find("other", now_s=0) is None
