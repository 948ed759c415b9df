"""JWK Sets: configured ones are refused for any misfit, published ones used as far as they go."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from firnline.access.keys import (
    KEY_ID_LENGTH_MAX,
    KEYS_MAX,
    KeySetUnusableError,
    SigningKeysError,
    configured_keys,
    published_keys,
)

EC = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
ED = OKPKey.generate_key("Ed25519")


def public(key: Key, key_id: str, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key_id, **more}


def used(*jwks: Any, algorithms: tuple[str, ...] = ()) -> dict[str, set[str]]:
    found = published_keys({"keys": list(jwks)}, algorithms=algorithms)
    assert all(key_id == key.key_id for key_id, key in found.items())
    return {key_id: set(key.algorithms) for key_id, key in found.items()}


def test_published_keys_are_used_with_the_algorithms_of_their_kind() -> None:
    assert used(public(EC, "ec"), public(RSA, "rsa"), public(ED, "ed")) == {
        "ec": {"ES256"},
        "rsa": {"RS256", "PS256"},
        "ed": {"EdDSA", "Ed25519"},
    }


def test_own_word_of_a_key_and_the_issuer_s_list_narrow_its_algorithms() -> None:
    assert used(public(RSA, "a", alg="RS256")) == {"a": {"RS256"}}
    assert used(public(RSA, "a"), algorithms=("PS256",)) == {"a": {"PS256"}}
    assert used(public(RSA, "a", alg="RS256"), algorithms=("PS256",)) == {}
    assert used(public(EC, "a"), public(RSA, "b"), algorithms=("ES256", "PS256")) == {
        "a": {"ES256"},
        "b": {"PS256"},
    }


@pytest.mark.parametrize(
    "unfit",
    [
        {**OctKey.generate_key(256).as_dict(), "kid": "a"},
        {**EC.as_dict(private=True), "kid": "a"},
        public(ECKey.generate_key("P-384"), "a"),
        public(EC, "a", alg="HS256"),
        public(EC, "a", alg=["ES256"]),
        public(EC, "a", use="enc"),
        public(EC, "a", use=["sig"]),
        EC.as_dict(private=False),
        public(EC, ""),
        public(EC, "k" * (KEY_ID_LENGTH_MAX + 1)),
        {"kty": "EC", "kid": "a", "crv": "P-256", "x": "!", "y": "!"},
        {"kid": "a"},
        {"kty": ["EC"], "kid": "a"},
        "text",
        None,
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_unfit_key_of_a_published_set_is_left_out_and_the_others_count(unfit: Any) -> None:
    assert used(unfit, public(RSA, "rsa")) == {"rsa": {"RS256", "PS256"}}


def test_key_id_may_be_as_long_as_it_may_be() -> None:
    assert list(used(public(EC, "k" * KEY_ID_LENGTH_MAX))) == ["k" * KEY_ID_LENGTH_MAX]


def test_two_keys_under_one_id_are_both_left_out_and_one_twice_is_one() -> None:
    assert used(public(EC, "a"), public(RSA, "a"), public(ED, "b")) == {"b": {"EdDSA", "Ed25519"}}
    assert used(public(EC, "a"), public(EC, "a")) == {"a": {"ES256"}}
    assert used(public(RSA, "a", alg="RS256"), public(RSA, "a", alg="PS256")) == {}


def test_set_without_keys_is_the_issuer_s_word_that_it_has_none() -> None:
    assert published_keys({"keys": []}) == {}


@pytest.mark.parametrize("document", [{}, [], "text", None, {"keys": {}}, {"keys": None}])
def test_document_that_is_no_key_set_is_unusable(document: Any) -> None:
    with pytest.raises(KeySetUnusableError, match=r"^it is not a JWK Set$"):
        published_keys(document)


def test_set_of_too_many_keys_is_unusable() -> None:
    assert published_keys({"keys": ["no key"] * KEYS_MAX}) == {}
    with pytest.raises(KeySetUnusableError, match=rf"^it has more than {KEYS_MAX} keys$"):
        published_keys({"keys": ["no key"] * (KEYS_MAX + 1)})


def test_configured_key_outside_the_issuer_s_algorithms_is_a_mistake() -> None:
    assert set(configured_keys({"keys": [public(EC, "a")]}, algorithms=["ES256"])) == {"a"}
    with pytest.raises(SigningKeysError, match="key 1 is of a kind that is not accepted"):
        configured_keys({"keys": [public(EC, "a")]}, algorithms=["RS256"])


def test_misfit_of_a_configured_set_is_told_with_its_place() -> None:
    with pytest.raises(SigningKeysError, match=r"^the configured token keys cannot be used: key 2"):
        configured_keys({"keys": [public(EC, "a"), public(RSA, "a")]})
    assert configured_keys({}) == {}


def test_key_is_the_same_as_another_of_equal_id_material_and_algorithms() -> None:
    one, again, other, narrow, renamed = (
        published_keys({"keys": [jwk]}).popitem()[1]
        for jwk in (
            public(RSA, "a"),
            public(RSA, "a", use="sig"),
            public(EC, "a"),
            public(RSA, "a", alg="RS256"),
            public(RSA, "b"),
        )
    )
    assert one.is_same_as(one)
    assert one.is_same_as(again)
    assert one != again
    assert not any(one.is_same_as(each) for each in (other, narrow, renamed))
