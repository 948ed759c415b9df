"""Runs commands of the `firnline` command line, each in a process of its own.

Run as a program it is the nursery: it has imported the command line once and forks for each command
that standard input names, so that twenty commands do not import it twenty times. Both streams of a
command go into files, its log at DEBUG among them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOGGED = (
    "import logging, sys; "
    "logging.basicConfig(level=logging.DEBUG, format='%(levelname)s %(name)s: %(message)s'); "
    "from firnline.cli.main import main; sys.argv[0] = 'firnline'; main()"
)


@dataclass(frozen=True)
class Said:
    """What a command said. `code` is its exit code."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def name(self) -> str:
        """Return how it was called."""
        return "firnline " + " ".join(self.arguments)


class Nursery:
    """Starts commands in a directory with an environment."""

    def __init__(self, directory: Path, environment: Mapping[str, str], outputs: Path) -> None:
        self.environment = dict(environment)
        self._directory = directory
        self._outputs = outputs
        self._count = 0
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._begun: asyncio.Queue[int] = asyncio.Queue()

    async def __aenter__(self) -> Nursery:
        self._outputs.mkdir(exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.end_to_end.canaries.commands"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_raised: object) -> None:
        for pid, ended in self._ended.items():
            if not ended.done():
                os.kill(pid, signal.SIGKILL)
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()
        self._reading.cancel()

    async def run(self, *arguments: str, stdin: str = "", **environment: str) -> Said:
        """Run a command to its end."""
        return await (await self.start(*arguments, stdin=stdin, **environment)).said()

    async def start(self, *arguments: str, stdin: str = "", **environment: str) -> Running:
        """Begin a command."""
        self._count += 1
        stem = self._outputs / f"{self._count:03d}"
        job = {
            "arguments": arguments,
            "directory": os.fspath(self._directory),
            "environment": {**self.environment, **environment},
            "out": f"{stem}.out",
            "err": f"{stem}.err",
            "stdin": stdin,
        }
        for name in ("out", "err"):
            os.close(os.open(str(job[name]), os.O_CREAT))
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        pid = await self._begun.get()
        return Running(arguments, pid, self._ended[pid], Path(job["out"]), Path(job["err"]))

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            told = json.loads(line)
            if "code" in told:
                self._ended[told["pid"]].set_result(told["code"])
            else:
                self._ended[told["pid"]] = asyncio.get_running_loop().create_future()
                self._begun.put_nowait(told["pid"])


@dataclass(frozen=True)
class Running:
    """A command that may not have ended."""

    arguments: tuple[str, ...]
    pid: int
    ended: asyncio.Future[int]
    out: Path
    err: Path

    async def said(self) -> Said:
        """Wait for its end."""
        code = await asyncio.wait_for(self.ended, 60)
        return Said(self.arguments, code, self.out.read_text(), self.err.read_text())

    async def until(self, part: str) -> str:
        """Wait until it said something; return all that it said so far."""
        async with asyncio.timeout(30):
            while part not in (said := self.out.read_text() + self.err.read_text()):
                assert not self.ended.done(), said
                await asyncio.sleep(0.02)
        return said


def _serve() -> None:
    """Fork for each line of standard input, and tell of beginnings and ends."""
    import select

    from firnline.cli.main import main

    waiting, is_open = b"", True
    alive: set[int] = set()
    while is_open or alive:
        ready = select.select([0], [], [], 0.02)[0] if is_open else []
        if ready:
            piece = os.read(0, 1 << 16)
            is_open = bool(piece)
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                alive.add(_forked(json.loads(line), main))
        for pid in list(alive):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                alive.remove(pid)
                _tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})


def _forked(job: Mapping[str, object], main: object) -> int:
    pid = os.fork()
    if pid:
        _tell({"pid": pid})
        return pid
    code = 70
    with suppress(BaseException):
        code = _command(job, main)
    os._exit(code)


def _command(job: Mapping[str, object], main: object) -> int:
    import logging

    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(str(job[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    reading, writing = os.pipe()
    os.write(writing, str(job["stdin"]).encode())
    os.close(writing)
    os.dup2(reading, 0)
    os.chdir(str(job["directory"]))
    os.environ.clear()
    os.environ.update(job["environment"])  # type: ignore[call-overload]
    sys.argv = ["firnline", *job["arguments"]]  # type: ignore[misc]
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
    code: object = 0
    try:
        main()  # type: ignore[operator]
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        logging.exception("the command crashed")
        code = 71
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code) if isinstance(code, int) else 0


def _tell(facts: Mapping[str, int]) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    _serve()
