"""Reads a page of this installation's own server, for its operator's command line.

Takes the server's address; the CLI receives the text, or None where no server answers. A token is
sent to this machine or over TLS, never in clear over a network.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx2

TEXT_BYTES_MAX = 8 * 1024 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


async def read_own(url: str, *, token: str = "", timeout_s: float = 2.0) -> str | None:
    """Return the text at `url`, None when it cannot be had."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        return None
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            httpx2.AsyncClient(timeout=timeout_s, trust_env=False) as http,
            http.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != 200:
                return None
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > TEXT_BYTES_MAX:
                    return None
    except httpx2.HTTPError:
        return None
    return content.decode("utf-8", "replace")
