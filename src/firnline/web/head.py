"""The head of a request: the few header fields that the edges read, gathered in one pass.

Takes an ASGI scope; the GraphQL edge and the body reader receive the fields as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from starlette.types import Scope

_READ = frozenset(
    {
        b"accept",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"if-none-match",
    }
)


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Method, query string and the read fields; values of a repeated field are joined by ", "."""

    method: str
    query_string: bytes
    fields: dict[bytes, bytes]

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return the head of the request that `scope` describes."""
        fields: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                fields[name] = fields[name] + b", " + value if name in fields else value
        return cls(scope["method"], scope["query_string"], fields)

    def text(self, name: bytes, missing: str = "") -> str:
        """Return the field's value; HTTP's header fields are Latin-1."""
        value = self.fields.get(name)
        return missing if value is None else value.decode("latin-1")
