"""Starts the servers under measurement, tells what they hold, and stops every one in the end."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.read.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
START_MAX_S = 60.0
_STOP_MAX_S = 20.0
_POLL_S = 0.005


class NotStartedError(RuntimeError):
    """A server ended, or did not listen in time; the message ends with its log's last words."""


@dataclass(frozen=True, slots=True)
class Program:
    """How one server is started at a given port."""

    name: str
    command: Callable[[int], list[str]]
    cwd: Path = ROOT
    environment: Mapping[str, str] | None = None  # None: that of this process

    def start(self, port: int, log: Path) -> subprocess.Popen[bytes]:
        """Start the server; its output goes to `log`."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(port),
                cwd=self.cwd,
                env=dict(os.environ if self.environment is None else self.environment),
                stdout=output,
                stderr=output,
            )


class Servers:
    """The servers that run at the same time. `pids` are their processes by name."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._stack = ExitStack()
        self.pids: dict[str, int] = {}

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def start(self, program: Program) -> str:
        """Start a server at a free port and wait until it listens; return its address."""
        port, log = free_port(), self._logs / f"{program.name.replace(' ', '-')}.log"
        process = program.start(port, log)
        self._stack.callback(stop, process)
        self.pids[program.name] = process.pid
        await_listening(program.name, process, port, log)
        return address(port)


def address(port: int) -> str:
    """Return where a server answers."""
    return f"http://127.0.0.1:{port}/graphql"


def await_listening(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return as soon as the port takes connections; raises NotStartedError."""
    until = time.monotonic() + START_MAX_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(_POLL_S)
    raise NotStartedError(f"{name} did not start: {log.read_text('utf-8', 'replace')[-600:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, the hard way when it does not end in time."""
    process.terminate()
    try:
        process.wait(_STOP_MAX_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def held_mb(pid: int) -> float:
    """Return the memory of a process and those it started, in MB; shared pages count once."""
    kilobytes = 0
    for each in _family(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kilobytes += int(line.split()[1])
    return round(kilobytes / 1024, 1)


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]
