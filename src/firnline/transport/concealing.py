"""Cuts what a call showed to its provider out of the texts that come back.

Takes a call as it was sent and a text of its answer; messages, verdicts and stored reasons receive
the text without the call's credentials. Providers, and what stands before them, quote what they
refuse: whole, in part, wrapped or encoded.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlsplit

if TYPE_CHECKING:
    from firnline.transport.call import OutboundCall

CUT = "…"
PIECE_LENGTH = 12  # so much of a secret is recognised as a part of it
COOKIE_LENGTH_MIN = 6  # shorter ones say a language, and letters of them are in any text
TEXT_MAX = 8_000  # of what a provider says; nobody is told more

_SHOWN_IN = ("authorization", "proxy-authorization", "cookie")
_SECRET_NAME = re.compile(
    r"token|secret|password|passwd|assertion|verifier|^code$|api_?key|credential", re.IGNORECASE
)
_PUBLIC_NAMES = frozenset({"token_type_hint", "client_assertion_type", "token_type"})


class Hidden(frozenset[str]):
    """Texts that nothing shows: not its repr, so not a traceback that lists variables either."""

    def __repr__(self) -> str:
        return f"Hidden({len(self)})"


class HiddenValues(dict[str, str]):
    """Parameters whose values nothing shows; its repr has their names."""

    def __repr__(self) -> str:
        return f"HiddenValues({', '.join(self)})"


def without_secrets(call: OutboundCall, text: str) -> str:
    """Return `text` without anything that `call` showed to be let in, nor a part of it."""
    return without(secrets_of(call), text)


def without(secrets: Collection[str], text: str) -> str:
    """Return `text`, bounded, without `secrets`: as they are, encoded, or a longer part of one."""
    text = text[:TEXT_MAX]
    written = {form for secret in secrets if secret for form in _forms(secret)}
    pieces = {
        form[start : start + PIECE_LENGTH]
        for form in written
        for start in range(len(form) - PIECE_LENGTH + 1)
    }
    text = _cut_pieces(text, pieces)
    for form in sorted(written, key=len, reverse=True):
        text = text.replace(form, CUT)
    return text


def secrets_of(call: OutboundCall) -> Hidden:
    """Return what `call` shows that no text may quote."""
    found = set(call.secrets)
    for name, value in call.headers.items():
        if name.lower() in _SHOWN_IN:
            found.update(_of_header(name.lower(), value))
    for parameters in (call.params, call.form, call.json, _query_of(call.url)):
        if isinstance(parameters, Mapping):
            found.update(_of_parameters(parameters))
    return Hidden(found - {""})


def _of_header(name: str, value: str) -> Iterator[str]:
    if name == "cookie":
        values = (pair.partition("=")[2].strip() for pair in value.split(";"))
        yield from (each for each in values if len(each) >= COOKIE_LENGTH_MIN)
        return
    scheme, _, shown = value.partition(" ")
    yield shown or scheme
    if scheme.lower() == "basic":
        password = _decoded(shown).partition(":")[2]
        yield from (password, unquote_plus(password))


def _decoded(shown: str) -> str:
    try:
        return base64.b64decode(shown, validate=True).decode()
    except ValueError:
        return ""


def _of_parameters(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in parameters.items():
        if name not in _PUBLIC_NAMES and _SECRET_NAME.search(name) and isinstance(value, str):
            yield value


def _query_of(url: str) -> Mapping[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield html.escape(secret)
    yield json.dumps(secret)[1:-1]


def _cut_pieces(text: str, pieces: Collection[str]) -> str:
    """Return `text` with every stretch that is made of pieces cut out."""
    kept: list[str] = []
    covered = 0
    for start in range(len(text) - PIECE_LENGTH + 1):
        if text[start : start + PIECE_LENGTH] not in pieces:
            continue
        if start > covered or not kept:
            kept += [text[covered:start], CUT]
        covered = start + PIECE_LENGTH
    return "".join([*kept, text[covered:]])
