"""What a verified token says beside tenant and person: agent, purpose, scopes, attributes.

Takes claims whose signature was checked; `access.principal` receives them in bounded forms. A claim
that is there and does not fit refuses the token: half-read narrowing would be none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

AGENT_LENGTH_MAX = 200
PURPOSE_LENGTH_MAX = 100
ATTRIBUTES_MAX = 64
ATTRIBUTE_LENGTH_MAX = 500
ATTRIBUTE_VALUES_MAX = 200
SCOPES_MAX = 200

Attribute = str | tuple[str, ...]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
# No controls, no halves of characters: neither belongs in a comparison, a log or a table.
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]+")
_SPACE = re.compile(r"\s")


class ClaimUnfitError(Exception):
    """A claim has another form than it must have; its text says which."""


class Attributes(Mapping[str, Attribute]):
    """A person's session attributes: immutable, hashable, and silent about values in its repr."""

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[str, Attribute] | None = None) -> None:
        self._items = dict(sorted((items or {}).items()))
        self._hash = hash(tuple(self._items.items()))

    def __getitem__(self, name: str) -> Attribute:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Attributes):
            return self._items == other._items
        return NotImplemented

    def __repr__(self) -> str:
        return f"Attributes({', '.join(self._items)})"


def agent_of(claims: Mapping[str, object]) -> str:
    """Return who acts for the person: `act.sub` (RFC 8693), else `azp`; empty where nobody does."""
    acting = claims.get("act")
    if acting is None:
        party = claims.get("azp")
        return "" if party is None else _word(party, "azp", AGENT_LENGTH_MAX)
    if not isinstance(acting, Mapping):
        raise ClaimUnfitError("its actor (act) is not an object")
    # A chain names former actors further inside; the outermost is the one that acts now.
    return _word(acting.get("sub"), "act.sub", AGENT_LENGTH_MAX)


def purpose_of(claims: Mapping[str, object]) -> str:
    """Return what the person's data is read for, empty where the token does not say."""
    purpose = claims.get("purpose")
    return "" if purpose is None else _word(purpose, "purpose", PURPOSE_LENGTH_MAX)


def scopes_of(claims: Mapping[str, object]) -> frozenset[str]:
    """Return the words of `scope`."""
    scope = claims.get("scope")
    if scope is None:
        return frozenset()
    if not isinstance(scope, str):
        raise ClaimUnfitError("its scope is not a text")
    words = frozenset(scope.split())
    if len(words) > SCOPES_MAX:
        raise ClaimUnfitError(f"its scope has more than {SCOPES_MAX} words")
    return words


def attributes_of(claims: Mapping[str, object]) -> Attributes:
    """Return the person's attributes: texts, and lists of texts."""
    found = claims.get("attributes")
    if found is None:
        return Attributes()
    if not isinstance(found, Mapping):
        raise ClaimUnfitError("its attributes are not an object")
    if len(found) > ATTRIBUTES_MAX:
        raise ClaimUnfitError(f"it has more than {ATTRIBUTES_MAX} attributes")
    return Attributes({_name(name): _value(value) for name, value in found.items()})


def credential_of(claims: Mapping[str, object], token: str) -> str:
    """Return what tells the token from others in a record: its `jti`, or a digest of it."""
    identity = claims.get("jti")
    if isinstance(identity, str) and _is_text(identity, AGENT_LENGTH_MAX):
        return f"jti:{identity}"
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()[:32]}"


def _word(value: object, claim: str, length_max: int) -> str:
    if not isinstance(value, str) or not _is_text(value, length_max) or _SPACE.search(value):
        raise ClaimUnfitError(f"its {claim} is not one word of up to {length_max} characters")
    return value


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ClaimUnfitError("a name among its attributes is not made of letters and digits")
    return name


def _value(value: object) -> Attribute:
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, list):
        raise ClaimUnfitError("an attribute is neither a text nor a list of texts")
    if len(value) > ATTRIBUTE_VALUES_MAX:
        raise ClaimUnfitError(f"an attribute has more than {ATTRIBUTE_VALUES_MAX} values")
    return tuple(_text(each) for each in value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not (value == "" or _is_text(value, ATTRIBUTE_LENGTH_MAX)):
        raise ClaimUnfitError(
            f"an attribute's value is not a plain text of up to {ATTRIBUTE_LENGTH_MAX} characters"
        )
    return value


def _is_text(value: str, length_max: int) -> bool:
    return len(value) <= length_max and _TEXT.fullmatch(value) is not None
