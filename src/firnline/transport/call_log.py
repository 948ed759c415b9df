"""Records of calls: what went out to whom and how it went, without ids, bodies or query strings.

`Transport` gives one `CallRecord` per call to a `CallLog` and to the process's figures;
`RecentCalls` keeps the last ones of each connection for people who look after it.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from firnline.connectors.protocol import ErrorClass
from firnline.recent import Recent
from firnline.transport.call import OutboundCall, Target, Use

CALLS_MAX = 50  # of one connection
CONNECTIONS_MAX = 5_000
PLACEHOLDER = "{id}"
SEGMENTS_MAX = 12
SEGMENT_MAX = 40

_LOG = logging.getLogger("firnline.transport.calls")

_VERSION = re.compile(r"v?\d{1,3}(\.\d{1,3}){0,2}")
_NAME = re.compile(r"[A-Za-z_$][A-Za-z_$.-]*2?")  # oauth2 is a word, too
_MIXED_CASE = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z]{15,}")


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, repetitions included.

    `status` is the last answer's, 0 when there was none. `error_class` and `code` say what was
    wrong, None and empty when nothing was. `attempts` is 0 when nothing was sent, because the
    circuit was open or the quota used up. `quota_left` is None where nobody knows. `bytes_out` and
    `bytes_in` count bodies as they crossed the network.
    """

    at: datetime
    tenant: str
    provider: str
    connection: str
    target: Target
    use: Use
    method: str
    template: str
    status: int
    error_class: ErrorClass | None
    code: str
    attempts: int
    duration_s: float
    bytes_out: int
    bytes_in: int
    quota_left: int | None


class CallLog(Protocol):
    """Takes the record of each call."""

    def add(self, record: CallRecord) -> None:
        """Take one record; must not block or fail."""
        ...

    def of(self, tenant: str, connection: str) -> Sequence[CallRecord]:
        """Return the connection's last calls, oldest first."""
        ...


class RecentCalls:
    """The last calls of each connection, bounded; and a line in the debug log for each."""

    def __init__(self) -> None:
        self._kept: Recent[tuple[str, str], deque[CallRecord]] = Recent(CONNECTIONS_MAX)

    def add(self, record: CallRecord) -> None:
        """Keep one record."""
        key = (record.tenant, record.connection)
        calls = self._kept.get(key)
        if calls is None:
            calls = self._kept.put_first(key, deque(maxlen=CALLS_MAX))
        calls.append(record)
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("%s", line_of(record))

    def of(self, tenant: str, connection: str) -> Sequence[CallRecord]:
        """Return the connection's last calls, oldest first."""
        return tuple(self._kept.get((tenant, connection)) or ())


def line_of(record: CallRecord) -> str:
    """Return a record as one line of `name=value`."""
    facts = {
        "tenant": record.tenant,
        "provider": record.provider,
        "connection": record.connection,
        "target": record.target,
        "use": record.use,
        "method": record.method,
        "endpoint": record.template,
        "status": record.status,
        "class": record.error_class or "ok",
        "code": record.code or "-",
        "attempts": record.attempts,
        "duration_s": f"{record.duration_s:.4f}",
        "bytes_out": record.bytes_out,
        "bytes_in": record.bytes_in,
        "quota_left": "-" if record.quota_left is None else record.quota_left,
    }
    return "call " + " ".join(f"{name}={value}" for name, value in facts.items())


def template_of(call: OutboundCall) -> str:
    """Return the call's endpoint without ids: as its connector wrote it, or derived."""
    return call.template or derived_template(urlsplit(call.url).path)


def derived_template(path: str) -> str:
    """Return `path` with every segment masked that holds digits or looks drawn by lot.

    What stays is versions and words. A connector whose keys are words writes a template.
    """
    segments = path.strip("/").split("/")
    shown = [_shown(segment) for segment in segments[:SEGMENTS_MAX]]
    more = ["..."] if len(segments) > SEGMENTS_MAX else []
    return "/" + "/".join(shown + more)


def _shown(segment: str) -> str:
    name, opens, _ = segment.partition("(")  # OData writes keys in brackets: Orders(123)
    if opens:
        return f"{_shown(name)}({PLACEHOLDER})"
    if _VERSION.fullmatch(segment) and (segment.startswith("v") or "." in segment):
        return segment
    is_name = len(segment) <= SEGMENT_MAX and _NAME.fullmatch(segment)
    is_token = _MIXED_CASE.fullmatch(segment) and _has_no_words(segment)
    return segment if not segment or (is_name and not is_token) else PLACEHOLDER


def _has_no_words(segment: str) -> bool:
    """Say whether letters look drawn by lot: capitals stand close to one another."""
    return sum(letter.isupper() for letter in segment) > len(segment) / 3
