"""Reads requests within limits: bytes first, then JSON, then the shape of a GraphQL request.

Takes the raw request; a GET's parameters stand for a body's members, with `variables` and
`extensions` as JSON text. The GraphQL edge receives a `GraphRequest`, the sign-in its form fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qs, parse_qsl

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from firnline.web.gateway import GraphRequest
from firnline.web.head import RequestHead
from firnline.web.refusals import (
    JSON_MEDIA,
    BatchRefusedError,
    BodyTooLargeError,
    MalformedRequestError,
    MediaTypeError,
)

GRAPHQL_BYTES_MAX = 64 * 1024
FORM_BYTES_MAX = 4 * 1024
DISCARD_BYTES_MAX = 256 * 1024
FORM_MEDIA = "application/x-www-form-urlencoded"
_LENGTH_DIGITS_MAX = 12
_FORM_FIELDS_MAX = 8
_PARAMETERS_MAX = 32
_PARAMETERS = frozenset(
    {"query", "documentId", "doc_id", "operationName", "variables", "extensions"}
)
_DOCUMENT_ID_LENGTH_MAX = 256

T = TypeVar("T")


async def read_content(head: RequestHead, receive: Receive) -> bytes:
    """Return what a request holds, unread: a POST's body, or a GET's parameters."""
    if head.method != "POST":
        return head.query_string
    return await read_body(head, receive, media=JSON_MEDIA, bytes_max=GRAPHQL_BYTES_MAX)


def graph_request(head: RequestHead, content: bytes) -> GraphRequest:
    """Return the GraphQL request in `content`; raises the refusal that fits.

    A GET may be repeated by anyone on the way and asks for queries only.
    """
    return parse_graph_request(content) if head.method == "POST" else _from_parameters(content)


async def read_form(
    head: RequestHead, receive: Receive, *, bytes_max: int = FORM_BYTES_MAX
) -> dict[str, str]:
    """Return the fields of a small URL-encoded form; of a repeated field the first value."""
    content = await read_body(head, receive, media=FORM_MEDIA, bytes_max=bytes_max)
    try:
        fields = parse_qs(content.decode(), max_num_fields=_FORM_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise MalformedRequestError(
            "the form cannot be read", hint="Use the page's own form."
        ) from error
    return {name: values[0] for name, values in fields.items()}


async def read_body(head: RequestHead, receive: Receive, *, media: str, bytes_max: int) -> bytes:
    """Return the body when it is plain `media` of at most `bytes_max`.

    A little more is read and dropped: closing on a client that still sends would lose our answer.
    Raises ClientDisconnect when the client leaves half-way.
    """
    _check_media(head, media)
    declared = head.fields.get(b"content-length", b"0")
    if not declared.isdigit():
        raise MalformedRequestError("the Content-Length header is not a number")
    # A number of many digits is not worth converting.
    if len(declared) > _LENGTH_DIGITS_MAX or int(declared) > DISCARD_BYTES_MAX:
        raise BodyTooLargeError(bytes_max)
    chunks: list[bytes] = []
    size = 0
    is_complete = False
    while not is_complete and size <= DISCARD_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= bytes_max:
            chunks.append(chunk)
        is_complete = not message.get("more_body", False)
    if size > bytes_max:
        raise BodyTooLargeError(bytes_max)
    return b"".join(chunks)


def parse_graph_request(content: bytes) -> GraphRequest:
    """Return the GraphQL request that the JSON text holds."""
    try:
        members = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise MalformedRequestError("the request body is not valid JSON") from error
    if isinstance(members, list):
        raise BatchRefusedError
    if not isinstance(members, dict):
        raise MalformedRequestError("the request body must be a JSON object")
    return _graph_request(members)


def _from_parameters(query_string: bytes) -> GraphRequest:
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), max_num_fields=_PARAMETERS_MAX, errors="strict"
        )
        members: dict[str, Any] = dict(pairs)
        for name in ("variables", "extensions"):
            if name in members:
                members[name] = orjson.loads(members[name])
    except ValueError as error:
        raise MalformedRequestError(
            "the parameters of the address cannot be read",
            hint="Encode query or documentId as a form does, variables and extensions as JSON.",
        ) from error
    known = [name for name, _ in pairs if name in _PARAMETERS]
    if len(known) != len(set(known)):
        raise MalformedRequestError("a parameter of the address is given twice")
    return replace(_graph_request(members), queries_only=True)


def _graph_request(members: Mapping[str, Any]) -> GraphRequest:
    query = _member(members, "query", str)
    extensions = _member(members, "extensions", dict)
    document_id = _document_id(members, query, extensions or {})
    if query is None and document_id is None:
        raise MalformedRequestError("the request has neither `query` nor `documentId`")
    return GraphRequest(
        query=query,
        document_id=document_id,
        variables=_member(members, "variables", dict),
        operation_name=_member(members, "operationName", str),
        extensions=extensions,
    )


def _check_media(head: RequestHead, expected: str) -> None:
    content_type = head.text(b"content-type").lower()
    # A compressed body could grow without bound past a limit on the bytes received.
    is_plain = head.text(b"content-encoding", "identity").lower() == "identity"
    if not is_plain or (content_type != expected and not _is_utf8(content_type, expected)):
        raise MediaTypeError(expected)


def _is_utf8(content_type: str, expected: str) -> bool:
    media, *parameters = content_type.split(";")
    charsets = [text.partition("=")[2].strip(' "') for text in parameters if "charset" in text]
    return media.strip() == expected and all(name in {"utf-8", "utf8"} for name in charsets)


def _member(members: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = members.get(name)
    if value is None or isinstance(value, kind):
        return value
    expected = "an object" if kind is dict else "a text"
    raise MalformedRequestError(f"`{name}` must be {expected}")


def _document_id(
    members: Mapping[str, Any], query: str | None, extensions: Mapping[str, Any]
) -> str | None:
    """Return the one id that the request names: the draft's, Relay's, or Apollo's hash."""
    plain = {_member(members, "documentId", str), _member(members, "doc_id", str)}
    ids = {document_id for document_id in plain if document_id}
    if ids and query is not None:
        raise MalformedRequestError(
            "the request has both a document id and `query`", hint="Send one of the two."
        )
    apollo = _apollo_hash(extensions)
    if apollo:
        if query is not None and hashlib.sha256(query.encode()).hexdigest() != apollo:
            raise MalformedRequestError(
                "persistedQuery.sha256Hash is not the hash of `query`",
                hint="Hash the exact text that is sent, in UTF-8.",
            )
        ids.add(f"sha256:{apollo}")
    if len(ids) > 1:
        raise MalformedRequestError("the request names more than one document")
    document_id = ids.pop() if ids else None
    if document_id and len(document_id) > _DOCUMENT_ID_LENGTH_MAX:
        raise MalformedRequestError("the document id is too long")
    return document_id


def _apollo_hash(extensions: Mapping[str, Any]) -> str | None:
    persisted = _member(extensions, "persistedQuery", dict)
    if persisted is None:
        return None
    digest = _member(persisted, "sha256Hash", str)
    if digest is None or len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
        raise MalformedRequestError("persistedQuery.sha256Hash must be 64 hexadecimal digits")
    return digest.lower()
