"""What one request asks the sources about single records, and what they said.

Takes the types whose records count only as far as their source confirms them; scans ask whether a
type is open at all, the loader has its queries settled, and execution asks about what is unknown
and begins anew. What cannot be asked in time denies its objects; the rest of the answer stays.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from firnline.access.at_source import AtSource, UncheckedError
from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.cache.query import Select
from firnline.catalog.model import Catalog
from firnline.clock import Clock
from firnline.connectors.protocol import VerifyQuery
from firnline.errors import FirnlineError, UsageError
from firnline.graph.policy.confirmed_keys import ConfirmedKeys, Holder, Verdict
from firnline.graph.policy.settling import Fetch, Slot, settled
from firnline.graph.request import AccessNote, SourceChecks

T = TypeVar("T")
CANDIDATES_MAX = 2_000  # of one operation
ROUNDS_MAX = 64  # of one root field
SPREAD_MAX = 64
_UNAVAILABLE = "verify_unavailable"
_FIELDS, _WHOLE = "fields", ""  # how what is said of fields is kept; no field has an empty name


class TooManyToVerifyError(UsageError):
    """More records would have to be checked at their source than one operation may ask about."""

    code = "verify_too_many"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"more than {limit} records would have to be checked at their source",
            hint="Filter by fields of the record itself, ask for a page instead of a count, or "
            "have the object mirrored: each of these asks about fewer records.",
        )


class TooManyRoundsError(UsageError):
    """What is to be checked depends on what was checked, over and over."""

    code = "verify_too_deep"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"sources were asked {limit} times, each time about what the last answer led to",
            hint="Ask for smaller pages, or for fewer levels of related records.",
        )


class VerificationUnavailableError(FirnlineError):
    """A source did not say in time which records the person sees; its objects show nothing."""

    code = _UNAVAILABLE
    retryable = True
    status = 503

    def __init__(self, connection: str) -> None:
        super().__init__(
            f"{connection} could not be asked which of its records you may see",
            hint="The rest of the answer is complete. Ask again.",
        )


class SourceAsker(Protocol):
    """Asks a provider (`connections.verifying.Verifying`)."""

    async def visible(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return which keys of a query the person sees now; raises FirnlineError."""
        ...

    async def hidden_fields(
        self, tenant: str, connection: str, query: VerifyQuery, *, person: str, deadline_s: float
    ) -> frozenset[str]:
        """Return which fields of an object are kept back from the person now."""
        ...


@dataclass(frozen=True, slots=True)
class Verification:
    """Makes the checks of requests. Without an `asker` nothing of verified objects is shown."""

    asker: SourceAsker | None
    clock: Clock
    deadline_s: float = 6.0
    candidates_max: int = CANDIDATES_MAX
    kept: ConfirmedKeys = field(default_factory=ConfirmedKeys)

    def checks(self, decisions: Decisions, principal: Principal) -> Checks | None:
        """Return the checks of one request; None where no type needs any."""
        return Checks(self, decisions, principal) if decisions.at_source else None


@dataclass(frozen=True, slots=True)
class Unasked:
    """Stands for the checks where rights are looked at and no record is: nobody is asked."""

    at_source: Mapping[str, AtSource]

    def denial(self, type_name: str) -> AccessNote | None:
        """Return nothing: a type is open while its source can be asked."""
        return None

    def hidden_reason(self, type_name: str, name: str) -> str:
        """Return why records of another object may not be read through, empty where they may."""
        about = self.at_source[type_name]
        return "" if name in about.objects else _uncheckable(name, about)

    def withheld(self, type_name: str, name: str) -> Mapping[str, str]:
        """Return nothing beyond what the mirror keeps back."""
        return {}

    def settled(self, select: Select, fetch: Fetch) -> Select:
        """Return the query as it is: unconfirmed records are none."""
        return select

    async def ask(self, unchecked: UncheckedError) -> None:
        """Ask nobody."""
        raise AssertionError("nothing is executed here")

    def told(self) -> list[dict[str, str]]:
        """Return nothing."""
        return []

    def troubles(self) -> list[FirnlineError]:
        """Return nothing."""
        return []


class Checks:
    """The checks of one request of one person. Its queries are settled in worker threads."""

    def __init__(self, rules: Verification, decisions: Decisions, principal: Principal) -> None:
        self.candidates_max = rules.candidates_max
        self._rules = rules
        self._types = decisions.at_source
        self._catalogs: Mapping[str, Catalog] = decisions.catalogs
        self._principal = principal
        self._ends_s = rules.clock.monotonic() + rules.deadline_s
        self._heard: dict[Slot, dict[str, Verdict]] = {}
        self._rests_on: dict[Slot, datetime] = {}
        self._hidden: dict[Slot, frozenset[str]] = {}  # fields
        self._failed: dict[Slot, tuple[str, str]] = {}  # code, reason
        self._touched: set[str] = set()
        self._rounds: dict[Slot, int] = {}
        self._turn = threading.Lock()
        self._asking = asyncio.Lock()

    # -- scans ----------------------------------------------------------------------------------

    def denial(self, type_name: str) -> AccessNote | None:
        """Return why nothing of a type may be shown, None where its records are checked."""
        about = self._types[type_name]
        self._touched.add(type_name)
        failed = self._failed.get((about.connection, about.object))
        if self._rules.asker is None:
            failed = (_UNAVAILABLE, f"nobody asks {about.connection} here")
        if failed is None:
            return None
        code, reason = failed
        # Of a mirror that is only too old it helps most to say so: a sync opens it again.
        reason = f"{about.reason}; {reason}" if about.reason else reason
        return AccessNote(type_name, "denied", reason, about.connection, code)

    def hidden_reason(self, type_name: str, name: str) -> str:
        """Return why records of another object may not be read through, empty where they may."""
        about = self._types[type_name]
        if name not in about.objects:
            return _uncheckable(name, about)
        failed = self._failed.get((about.connection, name))
        return "" if failed is None else failed[1]

    def withheld(self, type_name: str, name: str) -> Mapping[str, str]:
        """Return the fields of an object that its source keeps back now, with the reason.

        Raises UncheckedError.
        """
        about = self._types[type_name]
        slot = (about.connection, name)
        if not about.asks_fields or slot in self._failed:
            return {}
        hidden = self._hidden.get(slot)
        if hidden is None:
            hidden = self._hidden_before(slot)
            if hidden is None:
                raise UncheckedError(slot)
            self._hidden[slot] = hidden
        return dict.fromkeys(hidden, f"{about.connection} keeps it back from you now")

    def _hidden_before(self, slot: Slot) -> frozenset[str] | None:
        """Return what was said of an object's fields for an earlier answer, while it counts."""
        fields = self._catalogs[slot[0]].by_name[slot[1]].by_name
        known = self._rules.kept.find(
            (*self._holder(slot), _FIELDS), (_WHOLE, *fields), since_s=self._since_s(slot)
        )
        whole = known.pop(_WHOLE, None)
        if whole is None:
            return None
        # Of one time: what is hidden no more must not stay hidden by an older word.
        return frozenset(name for name, each in known.items() if each.asked_s == whole.asked_s)

    # -- queries (`settling.Word`) --------------------------------------------------------------

    def settled(self, select: Select, fetch: Fetch) -> Select:
        """Return a query over confirmed records; raises UncheckedError or TooManyToVerifyError."""
        return settled(select, self, fetch)

    def heard(self, slot: Slot, keys: Sequence[str]) -> Mapping[str, bool]:
        """Return, of candidates, what is known already; raises TooManyToVerifyError."""
        with self._turn:
            known = self._heard.setdefault(slot, {})
            unknown = [key for key in keys if key not in known]
            if unknown:
                since_s = self._since_s(slot)
                known |= self._rules.kept.find(self._holder(slot), unknown, since_s=since_s)
            everything = sum(map(len, self._heard.values()))
            if everything + sum(key not in known for key in keys) > self.candidates_max:
                raise TooManyToVerifyError(self.candidates_max)
            return {key: known[key].is_visible for key in keys if key in known}

    def seen(self, slot: Slot) -> Collection[str]:
        """Return every key that the source showed."""
        known = self._heard.get(slot, {})
        return frozenset(key for key, verdict in known.items() if verdict.is_visible)

    def hidden(self, slot: Slot) -> Collection[str]:
        """Return every key that the source did not show."""
        known = self._heard.get(slot, {})
        return frozenset(key for key, verdict in known.items() if not verdict.is_visible)

    def rests_on(self, slot: Slot, keys: Iterable[str]) -> None:
        """Note that the answer rests on the word about these records, all of them shown."""
        # Of others not even the time is told: it would say that there are any.
        stamps = [self._heard[slot][key].asked_at for key in keys]
        with self._turn:
            stamps += [self._rests_on[slot]] if slot in self._rests_on else []
            if stamps:
                self._rests_on[slot] = min(stamps)

    def spread(self, slot: Slot) -> int:
        """Return how far to look beyond a page: twice as far each time it was not enough."""
        return int(min(2 ** max(0, self._rounds.get(slot, 0) - 1), SPREAD_MAX))

    # -- the sources ----------------------------------------------------------------------------

    async def ask(self, unchecked: UncheckedError) -> None:
        """Ask about what is unknown; whatever comes of it, no query needs to ask for it again."""
        async with self._asking:
            slot = unchecked.slot
            if slot in self._failed:
                return
            try:
                if unchecked.keys:
                    await self._ask_records(slot, unchecked.keys)
                elif slot not in self._hidden:
                    await self._ask_fields(slot)
            except TimeoutError:
                self._failed[slot] = _unavailable(slot[0])
            except FirnlineError as error:
                self._failed[slot] = _failure(slot[0], error)

    async def _ask_records(self, slot: Slot, wanted: Sequence[str]) -> None:
        known = self._heard.setdefault(slot, {})
        keys = tuple(dict.fromkeys(key for key in wanted if key not in known))
        if not keys:
            return
        self._rounds[slot] = self._rounds.get(slot, 0) + 1
        verdict = self._verdict()
        visible = await self._asked(slot, keys)
        found = {key: replace(verdict, is_visible=key in visible) for key in keys}
        self._rules.kept.keep(self._holder(slot), found)
        with self._turn:
            known |= found

    async def _ask_fields(self, slot: Slot) -> None:
        verdict = self._verdict()
        self._hidden[slot] = hidden = await self._asked(slot, ())
        found = {name: replace(verdict, is_visible=False) for name in hidden}
        self._rules.kept.keep((*self._holder(slot), _FIELDS), {**found, _WHOLE: verdict})

    def _verdict(self) -> Verdict:
        """Return a verdict of this moment: the source may change while it answers."""
        return Verdict(True, self._rules.clock.now(), self._rules.clock.monotonic())

    async def _asked(self, slot: Slot, keys: tuple[str, ...]) -> frozenset[str]:
        """Return which keys are shown; without any, which fields are not."""
        connection, name = slot
        described = self._catalogs[connection].by_name[name]
        query = VerifyQuery(described, keys, self._about(connection).user_key, is_own=False)
        asker, left_s = self._rules.asker, self._ends_s - self._rules.clock.monotonic()
        assert asker is not None
        if left_s <= 0:
            raise TimeoutError
        asks = asker.visible if keys else asker.hidden_fields
        async with asyncio.timeout(left_s):
            return await asks(
                *(self._principal.tenant, connection, query),
                person=self._principal.email,
                deadline_s=left_s,
            )

    # -- what the person is told ----------------------------------------------------------------

    def told(self) -> list[dict[str, str]]:
        """Return, per type whose records were checked, how and when; no number of records."""
        return [
            self._told(name, self._types[name])
            for name in sorted(self._touched)
            if self.denial(name) is None
        ]

    def _told(self, type_name: str, about: AtSource) -> dict[str, str]:
        oldest = self._rests_on.get((about.connection, about.object))
        told = {
            "coordinate": type_name,
            "effect": "verified",
            "reason": checked_because(about),
            "source": about.connection,
            "countsFor": _span(self._kept_for(about.connection)),
        }
        return told if oldest is None else {**told, "checkedAt": _stamp(oldest)}

    def troubles(self) -> list[FirnlineError]:
        """Return what kept the answer from being complete, and may be over the next time."""
        failed = {slot[0] for slot, (code, _) in self._failed.items() if code == _UNAVAILABLE}
        return [VerificationUnavailableError(connection) for connection in sorted(failed)]

    # -------------------------------------------------------------------------------------------

    def _since_s(self, slot: Slot) -> float:
        return self._rules.clock.monotonic() - self._kept_for(slot[0]).total_seconds()

    def _about(self, connection: str) -> AtSource:
        return next(each for each in self._types.values() if each.connection == connection)

    def _kept_for(self, connection: str) -> timedelta:
        """Return the shortest life of verdicts that any type of a connection asks for."""
        return min(each.kept_for for each in self._types.values() if each.connection == connection)

    def _holder(self, slot: Slot) -> Holder:
        about = self._about(slot[0])
        who = (self._principal.tenant, slot[0], about.rights, self._principal.email)
        return (*who, about.user_key, slot[1])


def checked_because(about: AtSource) -> str:
    """Return why each record of a type is checked, in words for who asks."""
    checked = "each record is checked at its source"
    return f"{checked}: {about.reason}" if about.reason else checked


def _uncheckable(name: str, about: AtSource) -> str:
    return f"single records of {name} cannot be checked at {about.connection}"


def _failure(connection: str, error: FirnlineError) -> tuple[str, str]:
    if error.retryable:
        return _unavailable(connection)
    if error.code.startswith("verify_"):
        return error.code, f"{error}: {error.hint}" if error.hint else str(error)
    # Not the provider's own words: they may be about others.
    return "verify_refused", f"{connection} does not say which of its records you may see"


def _unavailable(connection: str) -> tuple[str, str]:
    return _UNAVAILABLE, f"{connection} could not be asked whether you may see its records"


def _span(length: timedelta) -> str:
    return f"{int(length.total_seconds())}s"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


async def until_settled(work: Callable[[], Awaitable[T]], checks: SourceChecks | None) -> T:
    """Return what `work` returns once the sources said what it has to know.

    It is begun anew after each question. Raises TooManyRoundsError.
    """
    for _ in range(ROUNDS_MAX):
        try:
            return await work()
        except UncheckedError as unchecked:
            assert checks is not None
            await checks.ask(unchecked)
    raise TooManyRoundsError(ROUNDS_MAX)


def errors_of(checks: SourceChecks | None) -> Iterable[Mapping[str, Any]]:
    """Yield the troubles of a request as errors of its answer."""
    for trouble in () if checks is None else checks.troubles():
        facts = trouble.as_dict()
        yield {"message": facts.pop("message"), "extensions": facts}
