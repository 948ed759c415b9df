"""`firnline sandbox`: serves until interrupted, refuses bad options with a typed error."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from firnline.cli.sandbox import LatencyInvalidError, latency_range, sandbox
from firnline.errors import FirnlineError
from firnline.sandbox.process import attached


@asynccontextmanager
async def command(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = "import typer; from firnline.cli.sandbox import sandbox; typer.run(sandbox)"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_command_serves_until_interrupted_and_clears_up(
    tinycrm: str, tmp_path: Path, ending: signal.Signals
) -> None:
    state_file = tmp_path / "state.json"
    options = ("--tenant", "acme", "--provider", tinycrm, "--scale", "0.02", "--latency", "0")
    async with command(*options, "--state-file", str(state_file), "--json") as child:
        assert child.stdout is not None
        told = json.loads(await child.stdout.readline())
        assert told["servers"][0]["records"] > 40
        assert "tiny-secret" not in json.dumps(told)
        async with attached(state_file) as fleet:
            assert (await fleet.counts())["acme"][tinycrm]["accounts"] == 40
        child.send_signal(ending)
        assert await asyncio.wait_for(child.wait(), 10) == 0
    assert not state_file.exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--latency", "fast"],
        ["--latency", "800-200"],
        ["--scale", "0"],
        ["--scale", "1000"],
        ["--tenant", "No Such!"],
        ["--provider", "nosuchcrm"],
        ["--state-file", "/nonexistent/directory/state.json"],
    ],
)
def test_command_refuses_bad_options_with_a_typed_error(
    tinycrm: str, tmp_path: Path, options: list[str]
) -> None:
    app = typer.Typer()
    app.command()(sandbox)
    small = ["--state-file", str(tmp_path / "s.json"), "--scale", "0.01", "--provider", tinycrm]
    result = CliRunner().invoke(app, [*small, *options])
    assert isinstance(result.exception, FirnlineError)
    assert result.exception.exit_code == 2


def test_latency_is_a_range_or_one_number() -> None:
    assert latency_range("200-800") == (200, 800)
    assert latency_range(" 5 ") == (5, 5)
    for wrong in ("", "-5", "1-2-3", "ten"):
        with pytest.raises(LatencyInvalidError):
            latency_range(wrong)
