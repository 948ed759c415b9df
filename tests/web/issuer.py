"""An issuer of tests: publishes its keys over real HTTP, signs tokens, and counts who asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey, Key
from starlette.types import Receive, Scope, Send
from tests.web.conftest import listening


@dataclass
class IssuerServer:
    """What the issuer answers at whatever path, and how it signs."""

    name: str
    url: str = ""
    keys: dict[str, Key] = field(default_factory=lambda: {"k1": ECKey.generate_key("P-256")})
    status: int = 200
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": kid, "use": "sig"}
                for kid, key in self.keys.items()
            ]
        }

    def token(self, kid: str = "", key: Key | None = None, **changes: Any) -> str:
        """Return a token that lives a minute; a change to None removes the claim."""
        kid = kid or next(reversed(self.keys))
        now_s = int(time.time())
        claims = {
            "iss": self.name,
            "aud": "firnline",
            "sub": "ana@acme.example",
            "tenant": "acme",
            "iat": now_s,
            "exp": now_s + 60,
            **changes,
        }
        told = {name: value for name, value in claims.items() if value is not None}
        signing = key or self.keys[kid]
        return jwt.encode({"alg": "ES256", "kid": kid}, told, signing, algorithms=["ES256"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        await asyncio.sleep(self.delay_s)
        body = orjson.dumps(self.jwks()) if self.content is None else self.content
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def publishing(name: str) -> Iterator[IssuerServer]:
    """Serve an issuer at a loopback address."""
    server = IssuerServer(name)
    with listening(server) as url:
        server.url = url
        yield server
