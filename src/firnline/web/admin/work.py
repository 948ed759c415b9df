"""What the admin API does: asks and changes connections, makes links, reads events.

Takes checked requests; the endpoints receive forms. Every change is put on record with who asked
for it, also when it failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from starlette.types import ASGIApp

from firnline.access.api_keys import INSTALLATION
from firnline.app import App
from firnline.connections.statuses import ConnectionStatus, chosen, status_of
from firnline.errors import FirnlineError
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow
from firnline.web.admin.caller import Caller, NothingHereError
from firnline.web.admin.forms import (
    Connection,
    ConnectionList,
    ConnectLinkMade,
    ConnectLinkOrder,
    Event,
    EventPage,
    Reason,
    Tested,
)
from firnline.web.admin.stream import EVENT_FRAMES, OPENING, EventFeed
from firnline.web.events import EventsReply
from firnline.web.negotiation import takes_events
from firnline.web.open_streams import OpenStreams
from firnline.web.refusals import MalformedRequestError

if TYPE_CHECKING:
    from firnline.web.admin.endpoints import Asked

STREAMS_MAX = 100  # of events, open at once
PAGE = 100
PAGE_MAX = 1000
_NUMBER_DIGITS_MAX = 18

T = TypeVar("T")


class AdminWork:
    """The work behind the endpoints of one opened project."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._streams = OpenStreams(
            tenant_max=STREAMS_MAX // 2, person_max=STREAMS_MAX // 4, total_max=STREAMS_MAX
        )

    async def connections(self, asked: Asked) -> ConnectionList:
        """List a tenant's connections."""
        statuses = await self._app.connections.statuses(self._spec(asked.tenant))
        return ConnectionList.of(asked.tenant, statuses)

    async def connection(self, asked: Asked) -> Connection:
        """Show one connection; raises UnknownConnectionError or NoOwnConnectionError."""
        spec = self._spec(asked.tenant)
        return Connection.of(await self._status(spec, asked.name, _person(asked)))

    async def test(self, asked: Asked) -> Tested:
        """Ask the provider who the connection is."""
        spec, person = self._spec(asked.tenant), _person(asked)
        testing = self._app.connections.test(spec, asked.name, person=person)
        who = await self._recorded(asked, "test", testing)
        status = await self._status(spec, asked.name, person)
        return Tested.of(who, Connection.of(status))

    async def refresh(self, asked: Asked) -> Connection:
        """Renew the connection's token."""
        spec = self._spec(asked.tenant)
        renewing = self._app.connections.refresh(spec, asked.name, person=_person(asked))
        return _shown(spec, await self._recorded(asked, "refresh", renewing))

    async def revoke(self, asked: Asked) -> Connection:
        """End the connection."""
        spec = self._spec(asked.tenant)
        ending = self._app.connections.revoke(
            spec, asked.name, person=_person(asked), reason=_reason(asked)
        )
        return _shown(spec, await self._recorded(asked, "revoke", ending))

    async def disable(self, asked: Asked) -> Connection:
        """Switch the connection off."""
        spec = self._spec(asked.tenant)
        closing = self._app.connections.disable(
            spec, asked.name, person=_person(asked), reason=_reason(asked)
        )
        return _shown(spec, await self._recorded(asked, "disable", closing))

    async def enable(self, asked: Asked) -> Connection:
        """Switch the connection on."""
        spec = self._spec(asked.tenant)
        opening = self._app.connections.enable(spec, asked.name, person=_person(asked))
        return _shown(spec, await self._recorded(asked, "enable", opening))

    async def connect_link(self, asked: Asked) -> ConnectLinkMade:
        """Make a connect link."""
        order: ConnectLinkOrder = asked.body
        spec = self._spec(asked.tenant)

        async def make() -> ConnectLinkMade:
            made = self._app.make_connect_link(
                spec.tenant,
                person=order.person,
                connections=order.connections,
                lifetime=timedelta(seconds=order.lifetime_s),
                return_to=order.return_to,
                is_shared=order.shared,
            )
            return ConnectLinkMade.of(made)

        return await self._recorded(asked, "connect-link", make())

    async def events(self, asked: Asked) -> EventPage | ASGIApp:
        """Read events after a number: a page, or all that follow for a client that takes them."""
        tenant = self._of_events(asked)
        after = _after(asked)
        connections = self._app.connections
        accept = asked.request.headers.get("accept", "")
        if asked.request.method == "HEAD" or not takes_events(accept):
            limit = _number(asked.parameters, "limit", PAGE, least=1, most=PAGE_MAX)
            found = await connections.events(after, tenant=tenant, limit=limit)
            events = tuple(Event.of(each) for each in found)
            last = events[-1].number if events else after
            return EventPage(events=events, after=last, has_more=len(events) == limit)
        await connections.events(after, tenant=tenant, limit=1)  # what is gone is refused at once
        place = self._streams.place(asked.caller.tenant, asked.caller.credential)
        place.__enter__()  # left by the reply
        follows = connections.state.connection_events.follow(after, tenant=tenant)
        return EventsReply(
            OPENING,
            EventFeed(follows, asked.standing.check),
            asked.standing.seconds_left,
            place,
            framing=EVENT_FRAMES,
        )

    def _spec(self, tenant: str) -> TenantSpec:
        spec = self._app.project.tenants.get(tenant)
        if spec is None:
            raise NothingHereError  # as of a tenant that is not the caller's
        return spec

    def _of_events(self, asked: Asked) -> str:
        """Return whose events the caller gets; "": everybody's."""
        wanted = asked.parameters.get("tenant")
        if wanted is not None:
            asked.caller.require_tenant(wanted)
            return self._spec(wanted).tenant
        return "" if asked.caller.tenant == INSTALLATION else asked.caller.tenant

    async def _status(self, spec: TenantSpec, name: str, person: str) -> ConnectionStatus:
        return chosen(spec, await self._app.connections.statuses(spec), name, person)

    async def _recorded(self, asked: Asked, action: str, work: Awaitable[T]) -> T:
        """Do what was asked and put on record that it was, however it ended."""
        outcome = "failed"
        try:
            done = await work
            outcome = "done"
        except FirnlineError as error:
            outcome = error.code
            raise
        finally:
            target = asked.request.path_params.get("name", "")
            await self._app.auditing.administered(
                asked.tenant,
                f"{action} {target}".strip(),
                outcome=outcome,
                about=asked.parameters.get("person", ""),
                **_who(asked.caller),
            )
        return done


def _who(caller: Caller) -> Mapping[str, str]:
    return {
        "person": caller.person,
        "agent": "" if caller.person else caller.name,
        "credential": caller.credential,
    }


def _shown(spec: TenantSpec, row: ConnectionRow) -> Connection:
    return Connection.of(status_of(spec, row))


def _person(asked: Asked) -> str:
    return asked.parameters.get("person", "")


def _reason(asked: Asked) -> str:
    reason: Reason = asked.body
    return reason.reason


def _after(asked: Asked) -> int:
    """Return the number after which events are wanted: a stream that broke off knows it best."""
    told = asked.request.headers.getlist("last-event-id")
    if told and takes_events(asked.request.headers.get("accept", "")):
        return _number({"Last-Event-ID": told[0]}, "Last-Event-ID", 0)
    return _number(asked.parameters, "after", 0)


def _number(
    told: Mapping[str, str], name: str, default: int, *, least: int = 0, most: int = 10**18
) -> int:
    text = told.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX
    if not is_number or not least <= int(text) <= most:
        raise MalformedRequestError(
            f"{name} is not a number in its bounds", hint="Send the number of an event you know."
        )
    return int(text)
