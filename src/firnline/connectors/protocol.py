"""What a connector is: a description of how to speak to one provider.

A connector has no I/O, sleep, retry, token or tenant: it builds requests and parses answers. The
engine (transport, sync, connections) sends, retries, authorises and stores. Conversations that
need several answers (discovery, identity) are generators: they yield batches of requests that may
run at the same time and receive the responses in the same order.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import orjson

from firnline.access.grounds import Coordinate, Ground, Naming
from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.catalog.model import Catalog, ObjectInfo

if TYPE_CHECKING:
    from firnline.connectors.manifest import Manifest
    from firnline.connectors.quotas import QuotaReading

T = TypeVar("T")

RETRY_AFTER_MAX_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the provider, without its authorisation.

    `path` is a path on the connection's base URL, or an absolute URL that the provider gave (a
    next-page link): the transport refuses one whose origin is not the connection's.
    `repeatable` says that sending it twice changes nothing at the provider. `template` is the path
    with placeholders for ids, where figures could not tell an id from a name: `/things/{key}`.
    Its repr shows where it goes only: what it brings are people's records, or a login's password.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    repeatable: bool = True
    template: str = ""

    @classmethod
    def get(cls, path: str, *, headers: Mapping[str, str] | None = None, **params: str) -> Request:
        """Return a GET; keyword arguments become the query string."""
        return cls("GET", path, params=params, headers=headers or {})


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, whole and decoded; header names are lower case.

    Its repr shows the status only: answers hold tokens, cookies and people's records.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    set_cookies: Sequence[str] = field(default=(), repr=False)
    """The `Set-Cookie` lines one by one: joined as other headers are they could not be read."""
    cut: Callable[[str], str] = field(default=str, repr=False, compare=False)
    """Returns a text of this answer without the credentials of the call that it answers."""

    def json(self) -> Any:
        """Return the parsed body; raises ValueError when it is not JSON.

        Lenient where providers are: one NaN, 1e400 or half surrogate pair in a record must not make
        its whole page unreadable; normalising deals with the value.
        """
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as strict:
            try:
                return json.loads(self.content)
            except (ValueError, RecursionError):
                raise strict from None

    def text(self) -> str:
        """Return the body as text, undecodable bytes replaced."""
        return self.content.decode("utf-8", "replace")

    def retry_after_s(self) -> float | None:
        """Return the wait that Retry-After states in seconds, None when it makes no sense."""
        try:
            wait_s = float(self.headers.get("retry-after", ""))
        except ValueError:
            return None
        return wait_s if 0 <= wait_s <= RETRY_AFTER_MAX_S else None


class ErrorClass(StrEnum):
    """What a failed call is to whoever repeats, counts or reports calls. Closed: no others come."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    AUTH_INVALIDATED = "auth_invalidated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    CONFLICT = "conflict"
    CURSOR_GONE = "cursor_gone"
    SCHEMA_DRIFT = "schema_drift"
    UNKNOWN = "unknown"


class Grounds(StrEnum):
    """Why a call failed, in the words the engine acts on; finer than its class."""

    RATE_LIMITED = "rate_limited"  # wait, then again
    UNAVAILABLE = "unavailable"  # the provider's trouble: again with backoff
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - refresh once, then again
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - a person must reconnect
    SCOPE_MISSING = "scope_missing"  # the token may not do this
    FORBIDDEN = "forbidden"  # the person may not do this
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INVALID = "invalid"  # our request is wrong: never again as it is
    CURSOR_GONE = "cursor_gone"  # a page token ran out: from the checkpoint, not from the page
    SCHEMA_DRIFT = "schema_drift"  # an object or field is not there any more: discover again
    UNKNOWN = "unknown"

    @property
    def error_class(self) -> ErrorClass:
        """Return the class that these grounds belong to."""
        return _CLASSES[self]


_CLASSES = {
    Grounds.RATE_LIMITED: ErrorClass.RATE_LIMITED,
    Grounds.UNAVAILABLE: ErrorClass.TRANSIENT,
    Grounds.TOKEN_EXPIRED: ErrorClass.AUTH_INVALIDATED,
    Grounds.TOKEN_REVOKED: ErrorClass.AUTH_INVALIDATED,
    Grounds.SCOPE_MISSING: ErrorClass.FORBIDDEN,
    Grounds.FORBIDDEN: ErrorClass.FORBIDDEN,
    Grounds.NOT_FOUND: ErrorClass.NOT_FOUND,
    Grounds.CONFLICT: ErrorClass.CONFLICT,
    Grounds.INVALID: ErrorClass.INVALID,
    Grounds.CURSOR_GONE: ErrorClass.CURSOR_GONE,
    Grounds.SCHEMA_DRIFT: ErrorClass.SCHEMA_DRIFT,
    Grounds.UNKNOWN: ErrorClass.UNKNOWN,
}

_BY_STATUS = {
    400: Grounds.INVALID,
    401: Grounds.TOKEN_EXPIRED,
    403: Grounds.FORBIDDEN,
    404: Grounds.NOT_FOUND,
    405: Grounds.INVALID,
    408: Grounds.UNAVAILABLE,
    409: Grounds.CONFLICT,
    410: Grounds.INVALID,
    412: Grounds.CONFLICT,
    413: Grounds.INVALID,
    414: Grounds.INVALID,
    415: Grounds.INVALID,
    422: Grounds.INVALID,
    429: Grounds.RATE_LIMITED,
    431: Grounds.INVALID,
}


def grounds_of_status(status: int) -> Grounds:
    """Return what an HTTP status alone means, for refusals that say no more than that."""
    if status >= 500:
        return Grounds.UNAVAILABLE
    return _BY_STATUS.get(status, Grounds.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a refused call means. `message` is the provider's text, without secrets."""

    grounds: Grounds
    message: str = ""
    code: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token this is: shown to the person who connects, and kept on the connection."""

    account: str
    account_name: str
    user_key: str
    user_name: str


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """One page to read.

    `fields` are names of `object`. `since` is the checkpoint of the last completed page run (None:
    from the beginning); `page` is the token that the previous page of this run gave (None: first).
    `now` is the wall time, for connectors that must bound a window.
    """

    object: ObjectInfo
    fields: tuple[str, ...]
    since: str | None
    page: str | None
    page_size: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one answer.

    `records` map field names to JSON values; normalising them to the catalog's types is the
    engine's. `deleted` are keys of records that are gone. `next_page` is an opaque token, None at
    the end of the run. `checkpoint` is where a later incremental read may start so that nothing
    after this page is missed; it is stored in the same transaction as the records.
    """

    records: Sequence[Mapping[str, Any]]
    next_page: str | None = None
    checkpoint: str | None = None
    deleted: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class VerifyQuery:
    """Records that one user is asked about, at most the manifest's `batch_max`.

    `user_key` is the user's key at the provider. `is_own` says that the request goes out with that
    person's own token; else with the organisation's, which asks about them.
    """

    object: ObjectInfo
    keys: tuple[str, ...]
    user_key: str
    is_own: bool


Steps = Generator[Sequence[Request], Sequence[Response], T]


class Connector(ABC):
    """One provider. Stateless: the same instance serves every tenant.

    `settings` in each method are the connection's own (account, subdomain...), as declared under
    `settings` in connector.yaml and given in the tenant's YAML.
    """

    provider: ClassVar[str]

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @abstractmethod
    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        """Find out whose token the connection holds."""

    @abstractmethod
    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        """Find the objects and fields, custom ones included.

        Raises what `expect` raises when an answer is not a success.
        """

    @abstractmethod
    def build_read(self, query: ReadQuery) -> Request:
        """Return the request for one page, in a total order that survives equal timestamps."""

    @abstractmethod
    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        """Return the records of a successful answer to `build_read(query)`."""

    def build_deletes(self, query: ReadQuery) -> Request | None:
        """Return the request for a page of deleted keys, None when reads show deletions."""
        return None

    def parse_deletes(self, query: ReadQuery, response: Response) -> Page:
        """Return the deleted keys of a successful answer to `build_deletes(query)`."""
        raise NotImplementedError

    @abstractmethod
    def classify(self, response: Response) -> Verdict:
        """Say what an answer outside 200..299 (or an error inside a 200) means."""

    def refused(self, response: Response) -> bool:
        """Say whether an answer is a refusal; override where errors hide in a 200."""
        return not 200 <= response.status < 300

    def quota(self, response: Response) -> Sequence[QuotaReading]:
        """Return what an answer, a refusal included, tells about the manifest's budgets.

        Pure; `connectors.quotas` reads the usual headers and bodies.
        """
        return ()

    @abstractmethod
    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        """Return what `person` may read, from the cached permission records.

        Pure: the same rows give the same answer. A person whom no active user matches has no
        rights. An object without a stated right is denied.
        """

    def build_verify(self, query: VerifyQuery) -> Request:
        """Return the request that tells which records the user sees now.

        Only for objects and tokens that the manifest's `verify` names.
        """
        raise NotImplementedError

    def parse_verify(self, query: VerifyQuery, response: Response) -> frozenset[str]:
        """Return which of the asked keys a successful answer to `build_verify(query)` shows."""
        raise NotImplementedError

    def verify_fields(self, query: VerifyQuery) -> Steps[frozenset[str]]:
        """Find the fields of the query's object that the user may not read now.

        Only where the manifest's `verify` says `asks_fields`; the query names no records.
        """
        raise NotImplementedError

    def derived_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Return `settings` plus placeholders computed from them (a host label from an account).

        The engine fills the manifest's URLs and hosts from the answer.
        """
        return settings

    def people(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the active users who work with the provider's records, to choose one from.

        Read from the same cached records as `access`; nobody where the provider has no users.
        """
        return ()

    def inactive(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the users who may not sign in any more; `title` says why where more is known."""
        return ()

    def grounds(
        self, rows: PermissionRows, catalog: Catalog, user_key: str, asked: Coordinate
    ) -> Sequence[Ground]:
        """Return what gives a user the right to an object or to one of its fields, or takes it.

        Asked only when somebody wants to know why; `access` alone decides.
        """
        return ()

    def named(self, rows: PermissionRows, catalog: Catalog, user_key: str, value: Naming) -> str:
        """Return what a value that decides about records is called, and how the user relates to it.

        Empty where nothing more than the value itself is known.
        """
        return ""

    def token_request_extras(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Return provider-specific parameters for the token endpoint."""
        return {}


class ProviderRefusal(Exception):
    """A step of a conversation was refused; the engine turns it into a typed error."""

    def __init__(self, request: Request, response: Response) -> None:
        super().__init__(f"{request.method} {request.path} answered {response.status}")
        self.request = request
        self.response = response


def expect(connector: Connector, request: Request, response: Response) -> Any:
    """Return the JSON of a successful answer; raise `ProviderRefusal` otherwise."""
    if connector.refused(response):
        raise ProviderRefusal(request, response)
    return response.json()
