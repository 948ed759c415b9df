"""What a token says beside tenant and person, and which of it refuses the token."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from firnline.access.claims import ATTRIBUTE_VALUES_MAX, ATTRIBUTES_MAX, Attributes, credential_of
from firnline.access.principal import Principal, TokenRefusedError, TokenVerifier
from firnline.clock import FixedClock

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = ECKey.generate_key("P-256")


def token(**more: Any) -> str:
    now_s = int(START.timestamp())
    claims = {
        "iss": "firnline",
        "aud": "firnline",
        "sub": "ana@acme.example",
        "tenant": "acme",
        "exp": now_s + 300,
        **more,
    }
    # As JSON with escapes: a signer of another make may write what UTF-8 cannot hold.
    content = json.dumps(claims).encode()
    return jws.serialize_compact({"alg": "ES256", "kid": "ec"}, content, KEY, algorithms=["ES256"])


def principal(**more: Any) -> Principal:
    keys = {"keys": [{**KEY.as_dict(private=False), "kid": "ec"}]}
    verifier = TokenVerifier.of_keys(
        keys, issuer="firnline", audience="firnline", clock=FixedClock(START)
    )
    return verifier.verify(token(**more))


def test_token_names_agent_purpose_and_attributes() -> None:
    who = principal(
        act={"sub": "renewals-bot", "act": {"sub": "orchestrator"}},
        azp="web-app",
        purpose="renewal-review",
        scope="read:Account openid",
        attributes={"region": "EMEA", "units": ["north", "west"]},
    )
    assert (who.agent, who.purpose) == ("renewals-bot", "renewal-review")
    assert who.scopes == {"read:Account", "openid"}
    assert dict(who.attributes) == {"region": "EMEA", "units": ("north", "west")}


def test_authorised_party_is_the_agent_where_nobody_else_acts() -> None:
    assert principal(azp="web-app").agent == "web-app"


@pytest.mark.parametrize(
    "more",
    [
        {"act": {"sub": "bot"}},
        {"scope": "read:Account"},
        {"purpose": "support"},
        {"attributes": {"region": "EMEA"}},
    ],
)
def test_principal_narrowed_in_any_way_is_another_one(more: dict[str, Any]) -> None:
    """Rights and answers are kept by principal: two that differ must never be one key."""
    assert principal(**more) != principal()
    assert len({principal(**more), principal(**more), principal()}) == 2


def test_credential_tells_tokens_apart_but_not_askers() -> None:
    named, other, unnamed = principal(jti="t1"), principal(jti="t2"), principal()
    assert (named.credential, other.credential) == ("jti:t1", "jti:t2")
    assert unnamed.credential.startswith("sha256:")
    assert named == other == unnamed


def test_representation_holds_no_attribute_value_and_no_credential() -> None:
    shown = repr(principal(attributes={"region": "SECRET"}, jti="TOKEN-ID"))
    assert "region" in shown
    assert "SECRET" not in shown
    assert "TOKEN-ID" not in shown


@pytest.mark.parametrize(
    "more",
    [
        {"act": "bot"},
        {"act": {}},
        {"act": {"sub": 7}},
        {"act": {"sub": ""}},
        {"act": {"sub": "a b"}},
        {"act": {"sub": "x" * 201}},
        {"azp": ["web"]},
        {"azp": "web\nagent=admin"},
        {"purpose": 1},
        {"purpose": "a\u2028b"},
        {"purpose": ""},
        {"scope": ["read"]},
        {"scope": " ".join(f"read:A{n}" for n in range(201))},
        {"attributes": [["region", "EMEA"]]},
        {"attributes": {"region": 7}},
        {"attributes": {"region": True}},
        {"attributes": {"region": None}},
        {"attributes": {"region": {"nested": "x"}}},
        {"attributes": {"region": [["nested"]]}},
        {"attributes": {"region": "a\x00b"}},
        {"attributes": {"region": "\ud800"}},
        {"attributes": {"region": "x" * 501}},
        {"attributes": {"region": ["x"] * (ATTRIBUTE_VALUES_MAX + 1)}},
        {"attributes": {"": "x"}},
        {"attributes": {"__proto__": "x"}},
        {"attributes": {"a.b": "x"}},
        {"attributes": {f"a{n}": "x" for n in range(ATTRIBUTES_MAX + 1)}},
    ],
    ids=lambda more: next(iter(more)),
)
def test_claim_of_another_form_refuses_the_token(more: dict[str, Any]) -> None:
    """To read half of what narrows an agent would widen it."""
    with pytest.raises(TokenRefusedError) as refused:
        principal(**more)
    assert "EMEA" not in str(refused.value)


def test_attributes_given_as_a_mapping_make_an_equal_principal() -> None:
    plain = Principal("acme", "ana@acme.example", attributes={"region": "EMEA"})
    assert plain == principal(attributes={"region": "EMEA"})
    assert hash(plain) == hash(principal(attributes={"region": "EMEA"}))


def test_attributes_are_a_mapping_that_equals_its_own_kind_alone() -> None:
    """What is kept by principal must never be found under a plain mapping."""
    found = Attributes({"b": "2", "a": ("1",)})
    assert (list(found), len(found), found["a"]) == (["a", "b"], 2, ("1",))
    assert found == Attributes({"a": ("1",), "b": "2"})
    assert found != Attributes({"a": "1", "b": "2"})
    assert found != {"a": ("1",), "b": "2"}
    assert len(Attributes()) == 0


@pytest.mark.parametrize(
    "more",
    [
        {"act": {"sub": "x" * 200}},
        {"purpose": "x" * 100},
        {"scope": " ".join(f"read:A{n}" for n in range(200))},
        {"attributes": {"region": "x" * 500}},
        {"attributes": {"region": ""}},
        {"attributes": {"region": ["x"] * ATTRIBUTE_VALUES_MAX}},
        {"attributes": {"a" * 63: "x"}},
        {"attributes": {f"a{n}": "x" for n in range(ATTRIBUTES_MAX)}},
    ],
    ids=lambda more: next(iter(more)),
)
def test_claim_as_long_as_it_may_be_is_read(more: dict[str, Any]) -> None:
    assert principal(**more) != principal()


@pytest.mark.parametrize("jti", ["x" * 201, "", "a\nb"])
def test_identity_that_fits_no_record_gives_way_to_a_digest(jti: Any) -> None:
    assert principal(jti=jti).credential.startswith("sha256:")
    assert len(principal(jti=jti).credential) == len("sha256:") + 32


def test_digest_tells_tokens_apart_and_is_that_of_the_whole_token() -> None:
    digest = hashlib.sha256(b"a.b.c").hexdigest()[:32]
    assert credential_of({}, "a.b.c") == credential_of({"jti": 7}, "a.b.c") == f"sha256:{digest}"
    assert credential_of({}, "a.b.d") != credential_of({}, "a.b.c")


def test_identity_as_long_as_a_record_holds_is_kept() -> None:
    assert principal(jti="x" * 200).credential == "jti:" + "x" * 200


def test_actor_wins_over_the_authorised_party_and_nobody_acts_where_none_is_named() -> None:
    assert principal(azp="web-app", act={"sub": "bot"}).agent == "bot"
    nobody = principal()
    assert (nobody.agent, nobody.purpose, nobody.scopes) == ("", "", frozenset())
    assert dict(nobody.attributes) == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"act": "bot"}, "its actor (act) is not an object"),
        ({"act": {"sub": 7}}, "its act.sub is not one word of up to 200 characters"),
        ({"azp": "a b"}, "its azp is not one word of up to 200 characters"),
        ({"purpose": "x" * 101}, "its purpose is not one word of up to 100 characters"),
        ({"scope": 7}, "its scope is not a text"),
        ({"scope": " ".join(map(str, range(201)))}, "its scope has more than 200 words"),
        ({"attributes": "x"}, "its attributes are not an object"),
        ({"attributes": {f"a{n}": "x" for n in range(65)}}, "it has more than 64 attributes"),
        (
            {"attributes": {"a.b": "x"}},
            "a name among its attributes is not made of letters and digits",
        ),
        ({"attributes": {"a": 7}}, "an attribute is neither a text nor a list of texts"),
        ({"attributes": {"a": ["x"] * 201}}, "an attribute has more than 200 values"),
        (
            {"attributes": {"a": "\n"}},
            "an attribute's value is not a plain text of up to 500 characters",
        ),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_refused_claim_is_named(more: dict[str, Any], said: str) -> None:
    with pytest.raises(TokenRefusedError) as refused:
        principal(**more)
    assert str(refused.value) == f"the token was refused: {said}"
