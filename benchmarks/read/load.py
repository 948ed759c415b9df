"""Puts load on a target with wrk and reads what it measured."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one run of the load generator saw."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    refused: int  # answers that are not 2xx
    broken: int  # connections


def put_load(
    wrk: str,
    url: str,
    *,
    template: Path,
    span: tuple[int, int],
    seed: int,
    clients: int,
    seconds: int,
    token: str = "",
) -> Loaded:
    """Ask `url` from `clients` connections for `seconds`, with other variables every time."""
    arguments = [str(template), str(seed), str(span[0]), str(span[1]), *([token] if token else [])]
    options = ["-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "20s", "-s", str(SCRIPT)]
    done = subprocess.run(
        [wrk, *options, url, "--", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    return parsed(done.stdout)


def parsed(output: str) -> Loaded:
    """Read the line that the script prints in the end."""
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    requests, micros, p50, p99, refused, broken = map(float, line.split()[1:])
    return Loaded(
        requests=int(requests),
        rps=round(requests / (micros / 1e6), 1),
        p50_ms=round(p50 / 1e3, 3),
        p99_ms=round(p99 / 1e3, 3),
        refused=int(refused),
        broken=int(broken),
    )
