"""Subscriptions as live queries: what tells one answer from the next, and when to ask again.

Takes documents and answers; the gateway receives what a running subscription needs to know of each.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import OperationDefinitionNode, OperationType

from firnline.errors import FirnlineError
from firnline.graph.answer import Answer
from firnline.graph.guard import DocumentLimits, guarded

REST_S = 0.25  # between two answers of one subscription
VERIFIED_REST_S = 5.0  # where sources are asked about the records of each
RENEWED_AFTER_S = 60.0  # relative dates move although nothing is committed
_DIGITS = 12
# Of a number so long that its last digits may not be its own; where a text looks alike no harm is
# done.
_MANY_DIGITS = re.compile(rb"[0-9.]{%d,}" % (_DIGITS + 1))
_UNTOLD = frozenset({"checkedAt"})  # moments: they differ between answers that say the same


@dataclass(frozen=True, slots=True)
class Pace:
    """No sooner than `rest_s` after an answer, and no later than `renewed_s`, the next is made."""

    rest_s: float = REST_S
    renewed_s: float = RENEWED_AFTER_S


def kind_of(text: str, operation_name: str | None) -> OperationType | None:
    """Return what kind of operation would run; None where none, or none alone, is meant."""
    try:
        nodes = guarded(text, DocumentLimits()).definitions
    except FirnlineError:
        return None  # whoever runs it is told
    kinds = [
        node.operation
        for node in nodes
        if isinstance(node, OperationDefinitionNode)
        and (not operation_name or (node.name and node.name.value == operation_name))
    ]
    return kinds[0] if len(kinds) == 1 else None


def is_subscription(text: str, operation_name: str | None) -> bool:
    """Say whether a document asks to be answered again and again."""
    # Nearly every other document is known by the missing word alone.
    return "subscription" in text and kind_of(text, operation_name) is OperationType.SUBSCRIPTION


def fingerprint(answer: Answer) -> bytes:
    """Return what is equal for answers that tell the person the same.

    How fresh the data is does not count, nor do the last digits of floating-point numbers: they
    would tell of changes that the person may not see.
    """
    digest = hashlib.blake2b(_settled(answer.content or b""), digest_size=16)
    digest.update(b"\n")
    digest.update(orjson.dumps([answer.errors, [_told(each) for each in _notes(answer)]]))
    return digest.digest()


def is_last(answer: Answer) -> bool:
    """Say whether an answer ends its subscription: there is nothing, and will not be by itself."""
    if answer.executed and answer.content is not None:
        return False
    return not any(each.get("extensions", {}).get("retryable") for each in answer.errors)


def pace_of(answer: Answer, rights_end_s: float | None) -> Pace:
    """Return when to ask again; `rights_end_s` are the seconds until the rights are decided anew.

    Records that their source confirmed count for the time that the answer itself says.
    """
    spans = [_seconds(each) for each in _notes(answer) if each.get("effect") == "verified"]
    ends = RENEWED_AFTER_S if rights_end_s is None else min(rights_end_s, RENEWED_AFTER_S)
    if not spans:
        return Pace(renewed_s=max(ends, REST_S))
    return Pace(VERIFIED_REST_S, max(min(ends, *spans), VERIFIED_REST_S))


def _settled(content: bytes) -> bytes:
    """Return JSON with its long floating-point numbers rounded.

    In which order DuckDB adds them up depends on where rows lie, also on rows that nobody sees.
    """
    if not _MANY_DIGITS.search(content):
        return content
    return orjson.dumps(_rounded(orjson.loads(content)))


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return float(f"{value:.{_DIGITS}g}")
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list():
            return [_rounded(each) for each in value]
        case _:
            return value


def _notes(answer: Answer) -> list[Mapping[str, Any]]:
    return list(answer.extensions.get("access", ()))


def _told(note: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in note.items() if name not in _UNTOLD}


def _seconds(note: Mapping[str, Any]) -> float:
    return float(str(note.get("countsFor", "0s")).removesuffix("s"))
