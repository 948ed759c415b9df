"""docs/outbound.md says what the code does: numbers, names and the form of a record."""

from __future__ import annotations

import re
from pathlib import Path

from firnline.connectors.protocol import ErrorClass
from firnline.observe.calls import CallMetrics
from firnline.settings import Settings
from firnline.transport import (
    CallRecord,
    Use,
    address,
    circuit,
    client,
    pools,
    redirects,
    retry,
    wire,
)
from firnline.transport.call_log import CALLS_MAX, line_of

TEXT = (Path(__file__).parents[2] / "docs" / "outbound.md").read_text("utf-8")
FLAT = " ".join(TEXT.split())


def test_numbers_are_those_of_the_code() -> None:
    for said in (
        f"| finding a free connection, looking the name up, connecting, TLS | "
        f"{client.CONNECT_TIMEOUT_S:.0f} s |",
        f"{client.READ_TIMEOUT_S:.0f} s, and half of the deadline",
        f"at most {retry.ATTEMPTS_MAX} times",
        f"up to {retry.BACKOFF_BASE_S} s, then {2 * retry.BACKOFF_BASE_S} s, then "
        f"{4 * retry.BACKOFF_BASE_S:.0f} s",
        f"between {retry.RETRY_AFTER_MIN_S:.0f} s and {retry.RETRY_AFTER_MAX_S / 60:.0f} minutes",
        f"at least {circuit.CALLS_MIN} calls within {circuit.WINDOW_S:.0f} s",
        f"After {circuit.OPEN_S:.0f} s one call",
        f"up to {circuit.OPEN_MAX_S / 60:.0f} minutes",
        f"for {circuit.RAMP_S:.0f} s at most",
        f"{redirects.REDIRECTS_MAX} times at most",
        f"connections of its own, {pools.CONNECTIONS_MAX} at most",
        f"bodies up to {client.BODY_BYTES_MAX // 2**20} MB",
        f"At most {wire.HEADER_LINES_MAX} header lines",
        f"The last {CALLS_MAX} of each connection",
    ):
        assert said in FLAT, said
    assert client.READ_SHARE == circuit.FAILURE_SHARE == 0.5
    assert "provider_deadline_s" in Settings.model_fields
    assert address.HTTPS_PORT == 443


def test_documented_line_is_the_one_that_is_written() -> None:
    (shown,) = re.findall(r"^call tenant=.*$", TEXT, re.MULTILINE)
    told = dict(part.split("=", 1) for part in shown.split()[1:])
    record = CallRecord(
        at=None,  # type: ignore[arg-type] - a line has its time from the log
        tenant=told["tenant"],
        provider=told["provider"],
        connection=told["connection"],
        target="api",
        use=Use(told["use"]),
        method=told["method"],
        template=told["endpoint"],
        status=int(told["status"]),
        error_class=None,
        code="",
        attempts=int(told["attempts"]),
        duration_s=float(told["duration_s"]),
        bytes_out=int(told["bytes_out"]),
        bytes_in=int(told["bytes_in"]),
        quota_left=int(told["quota_left"]),
    )
    assert line_of(record) == shown


def test_documented_figures_are_those_that_exist() -> None:
    exported = set(re.findall(r"^# TYPE (\w+)", CallMetrics().text().decode(), re.MULTILINE))
    documented = set(re.findall(r"^\| `(firnline_\w+)`", TEXT, re.MULTILINE))

    assert documented == exported
    assert f"`ok` or one of the {'ten' if len(ErrorClass) == 10 else '?'}" in TEXT
