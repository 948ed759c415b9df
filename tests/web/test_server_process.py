"""A server process stops when told to, after what lies around the server is closed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import httpx2
import pytest

PROGRAM = """
import asyncio
from firnline.web.server import address_of, create_server, open_socket, run_serving

async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(0.5)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answered"})

async def main():
    with open_socket("127.0.0.1", 0) as listening:
        print(address_of(listening), flush=True)
        try:
            await create_server(app).serve(sockets=[listening])
        finally:
            print("closed", flush=True)

run_serving(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_running_requests_end_and_closes_what_is_around(number: int) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert server.stdout and server.stderr
    url = (await server.stdout.readline()).decode().strip()
    async with httpx2.AsyncClient() as client:
        assert (await client.get(url)).text == "answered"
        asked = asyncio.create_task(client.get(url))
        await asyncio.sleep(0.2)  # the request is being answered when the signal comes
        server.send_signal(number)
        assert (await asked).text == "answered"
    output, errors = await asyncio.wait_for(server.communicate(), timeout=10)
    assert (server.returncode, output) == (0, b"closed\n"), errors
