"""A token verified before: accepted without its signature, never when a fresh check refuses it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from firnline.access import principal as principal_module
from firnline.access.known_tokens import KnownTokens
from firnline.access.principal import Principal, TokenRefusedError, TokenVerifier

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_S = int(START.timestamp())
KEY = ECKey.generate_key("P-256")
KEYS = {"keys": [{**KEY.as_dict(private=False), "kid": "ec"}]}


class SettableClock:
    """A clock that stands where it is put, also before where it was."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def token(sub: str = "ana@acme.example", **changes: Any) -> str:
    claims = {
        "iss": "firnline",
        "aud": "firnline",
        "sub": sub,
        "tenant": "acme",
        "exp": NOW_S + 300,
        **changes,
    }
    return jwt.encode({"alg": "ES256", "kid": "ec"}, claims, KEY, algorithms=["ES256"])


def verifier(clock: SettableClock, keys: Any = KEYS) -> TokenVerifier:
    return TokenVerifier.of_keys(keys, issuer="firnline", audience="firnline", clock=clock)


def verdict(checks: TokenVerifier, text: str) -> Principal | str:
    try:
        return checks.verify(text)
    except TokenRefusedError as error:
        return error.message


offsets = st.integers(-400, 400)
times = st.one_of(offsets, st.floats(-400, 400)).map(lambda offset: NOW_S + offset)


@settings(deadline=None)  # a busy machine says nothing about tokens
@given(
    exp=times,
    begin=st.fixed_dictionaries({}, optional={"nbf": times, "iat": times}),
    moments=st.lists(offsets, min_size=1, max_size=8),
)
def test_verdict_at_any_moment_is_that_of_a_verifier_that_remembers_nothing(
    exp: float, begin: dict[str, float], moments: list[int]
) -> None:
    clock = SettableClock()
    checks, text = verifier(clock), token(exp=exp, **begin)
    # The moments at which the verdict changes, and whatever the machine's clock jumps to.
    edges = [int(time) - NOW_S + step for time in (exp, *begin.values()) for step in (-60, 59, 60)]
    for moment in [*moments, *edges, *moments]:
        clock.at = START + timedelta(seconds=moment)
        assert verdict(checks, text) == verdict(verifier(clock), text)


def test_signature_is_checked_once_while_the_token_is_current(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []
    check = principal_module._check_signature

    def counted(text: str, trusted: Any) -> None:
        checked.append(text)
        check(text, trusted)

    monkeypatch.setattr(principal_module, "_check_signature", counted)
    clock, text = SettableClock(), token()
    checks = verifier(clock)
    assert {checks.verify(text).email for _ in range(5)} == {"ana@acme.example"}
    assert checked == [text]


def test_known_token_with_another_signature_payload_or_end_is_refused() -> None:
    clock, text = SettableClock(), token()
    checks = verifier(clock)
    checks.verify(text)
    header, payload, signature = text.split(".")
    other = token("mia@acme.example").split(".")
    for forged in (
        f"{header}.{payload}.{other[2]}",
        f"{header}.{other[1]}.{signature}",
        text + "=",
        text + "\n",
        " " + text,
        text[:-1],
        text + "\ud800",
    ):
        with pytest.raises(TokenRefusedError):
            checks.verify(forged)


def test_verifier_with_other_keys_knows_none_of_the_tokens() -> None:
    clock, text = SettableClock(), token()
    verifier(clock).verify(text)
    rotated = {"keys": [{**ECKey.generate_key("P-256").as_dict(private=False), "kid": "ec"}]}
    with pytest.raises(TokenRefusedError, match="signature"):
        verifier(clock, rotated).verify(text)
    with pytest.raises(TokenRefusedError, match="kid"):
        verifier(clock, {}).verify(text)


def test_refusal_is_not_remembered() -> None:
    clock, text = SettableClock(), token(nbf=NOW_S + 100)
    checks = verifier(clock)
    with pytest.raises(TokenRefusedError, match="nbf"):
        checks.verify(text)
    clock.at = START + timedelta(seconds=100)
    assert checks.verify(text).tenant == "acme"


def test_least_recently_used_token_is_forgotten_first_and_memory_is_bounded() -> None:
    known: KnownTokens[str] = KnownTokens(skew_s=60, tokens_max=3)
    for name in "abc":
        known.remember(name, name, {"exp": 100})
    assert known.find("a", now_s=0) == "a"
    known.remember("d", "d", {"exp": 100})
    assert [known.find(name, now_s=0) for name in "abcd"] == ["a", None, "c", "d"]


def test_memory_of_tokens_holds_no_token() -> None:
    known: KnownTokens[str] = KnownTokens(skew_s=60)
    text = token()
    known.remember(text, "ana", {"exp": NOW_S})
    dump = pickle.dumps([vars(known)["_known"]._kept, vars(known)["_key"]])
    for part in text.split("."):
        assert part.encode() not in dump


@pytest.mark.parametrize("passed_s", [0, 100, 359])
def test_seconds_left_are_those_until_the_token_is_refused(passed_s: int) -> None:
    clock, text = SettableClock(), token()
    checks = verifier(clock)
    clock.at = START + timedelta(seconds=passed_s)
    checks.verify(text)
    left_s = checks.seconds_left(text)
    assert left_s == 360 - passed_s
    clock.at += timedelta(seconds=left_s - 1)
    checks.verify(text)
    clock.at += timedelta(seconds=1)
    with pytest.raises(TokenRefusedError):
        checks.verify(text)


def test_no_second_is_left_of_a_token_that_was_never_verified() -> None:
    assert verifier(SettableClock()).seconds_left(token()) == 0


def test_digests_of_one_memory_find_nothing_in_another() -> None:
    """Whoever reads a dump cannot look up a token that they hold: the key is drawn each time."""
    one, other = (KnownTokens[str](skew_s=60)._digest("a.b.c") for _ in range(2))
    assert one != other
