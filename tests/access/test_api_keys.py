"""The form of API keys: an id in the open, a secret of which only a digest stays."""

from __future__ import annotations

import hashlib
import re

import pytest

from firnline.access.api_keys import (
    SCOPES,
    ApiKeyRefusedError,
    KeyText,
    ScopeMissingError,
    digest_of,
    draw_key,
    is_key,
)

ID, SECRET = "0123456789abcdef", "5a" * 32


def test_drawn_key_has_a_public_id_and_256_random_bits() -> None:
    (one, text), (other, again) = draw_key(), draw_key()
    assert one != other and text != again
    found = re.fullmatch(r"fl_([0-9a-f]{16})_([0-9a-f]{64})", text)
    assert found is not None and found[1] == one
    assert KeyText.of(text) == KeyText(one, hashlib.sha256(found[2].encode()).hexdigest())


def test_key_opens_what_was_stored_of_its_secret_and_nothing_else() -> None:
    text = KeyText.of(f"fl_{ID}_{SECRET}")
    assert text.opens(digest_of(SECRET))
    assert not text.opens(digest_of(SECRET + "0"))
    assert not text.opens(SECRET)
    assert not text.opens("")
    assert not text.opens(None)


def test_no_secret_opens_a_key_that_is_not_there() -> None:
    """Where no key is stored something is compared all the same; even its secret opens nothing."""
    assert not KeyText(ID, digest_of("")).opens(None)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "fl_",
        f"fl_{ID}",
        f"fl_{ID}_",
        f"fl_{ID}_{SECRET}0",
        f"fl_{ID}_{SECRET[1:]}",
        f"fl_{ID}_{SECRET}\n",
        f"fl_{ID}_{SECRET.upper()}",
        f"fl_{ID[1:]}_{SECRET}",
        f"FL_{ID}_{SECRET}",
        f"fl_{ID}-{SECRET}",
        f" fl_{ID}_{SECRET}",
        f"fl_' OR 1=1 --_{SECRET}",
        f"fl_../../etc/passw_{SECRET}",
    ],
)
def test_text_of_another_form_is_refused_without_telling_why(token: str) -> None:
    with pytest.raises(ApiKeyRefusedError) as caught:
        KeyText.of(token)
    assert (caught.value.code, caught.value.status) == ("api_key_refused", 401)
    assert caught.value.message == "the API key was refused"
    assert "firnline keys list" in caught.value.hint


def test_api_keys_are_told_from_signed_tokens_by_their_prefix() -> None:
    assert is_key(f"fl_{ID}_{SECRET}") and is_key("fl_")
    assert not any(is_key(text) for text in ("eyJhbGciOi.e30.AA", "", "FL_a", "xfl_"))


def test_missing_scope_is_named_to_the_holder_of_a_good_key() -> None:
    error = ScopeMissingError("graphql")
    assert (error.code, error.status) == ("scope_missing", 403)
    assert error.message == "the credential does not have the scope 'graphql'"
    assert "firnline keys create" in error.hint


def test_scopes_are_a_closed_list() -> None:
    assert {
        "graphql",
        "connections:read",
        "connections:write",
        "connect-links:write",
        "metrics:read",
    } == SCOPES
