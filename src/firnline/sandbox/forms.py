"""Form bodies of the sandboxes' OAuth endpoints, without a multipart parser."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request


async def read_form(request: Request) -> dict[str, str]:
    """Return an urlencoded body as a dictionary, the last value of a name winning."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
