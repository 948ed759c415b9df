"""Reads what somebody whom this installation trusts publishes at an address, such as its keys.

Takes an https address from the settings; whoever needs the document receives its bytes and how long
it says that it is good for. It goes out through the one client, so that the address guard, the
deadline and the body cap hold, and carries no credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from firnline.transport.call import Destination, OutboundCall
from firnline.transport.client import Transport
from firnline.transport.errors import ProviderAnswerError

DOCUMENT_BYTES_MAX = 256 * 1024
DEADLINE_S = 5.0
_MAX_AGE = re.compile(r'max-age="?(\d{1,9})"?')


@dataclass(frozen=True, slots=True)
class Published:
    """A document as it was read; `fresh_s` is how long it may be kept, None where it is unsaid."""

    content: bytes
    fresh_s: float | None = None


async def read_published(
    url: str, *, transport: Transport, deadline_s: float = DEADLINE_S
) -> Published:
    """Return the document at `url`; raises a ProviderError."""
    host = urlsplit(url).netloc.lower()
    destination = Destination(
        provider="published",
        tenant="*",
        connection=host,
        hosts=(host,),  # the exact one, and its port: an answer that leads elsewhere is none
        account=f"published {host}",
        concurrency_max=2,
    )
    # Not repeated here: whoever asks says how often, and each asking is one request.
    call = OutboundCall(destination, "GET", url, repeatable=False)
    response = await transport.send(call, deadline_s=deadline_s)
    if response.status != 200:
        raise ProviderAnswerError(destination, f"{call.endpoint} answered {response.status}")
    if len(response.content) > DOCUMENT_BYTES_MAX:
        raise ProviderAnswerError(
            destination, f"the answer to {call.endpoint} is over {DOCUMENT_BYTES_MAX} bytes"
        )
    return Published(response.content, _fresh_s(response.headers))


def _fresh_s(headers: Mapping[str, str]) -> float | None:
    """Return for how long an answer is fresh: what Cache-Control allows, less its age."""
    said = headers.get("cache-control", "").lower()
    if "no-store" in said or "no-cache" in said:
        return 0.0
    found = _MAX_AGE.search(said)
    if found is None:
        return None
    age = headers.get("age", "0")
    return max(0.0, float(found[1]) - (float(age) if age.isdecimal() else 0.0))
