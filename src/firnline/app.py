"""The composition root: the only module that knows every class.

Opens one project directory with its state, vault, outbound client and caches; the CLI, the web
edge and the demo work through an `App`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from firnline.access.principal import Principal
from firnline.audit.auditing import Auditing
from firnline.cache.database import TenantDatabase
from firnline.cache.open_caches import OpenCaches
from firnline.cache.opening import CacheError
from firnline.catalog.discovery import DiscoveryReport, discover_tenant
from firnline.catalog.mapping import MappingError, mapping_problems
from firnline.clock import Clock, SystemClock
from firnline.connections.channel import Channel
from firnline.connections.closed import ConnectionClosedError
from firnline.connections.consent.links import LIFETIME, ConnectLinks, MadeLink
from firnline.connections.sealing.vault import Vault
from firnline.connections.service import Connections
from firnline.connections.site import declared_site
from firnline.connections.verifying import Verifying
from firnline.errors import FirnlineError, UnknownTenantError
from firnline.graph.answer import Answer, Question
from firnline.graph.askers import Askers
from firnline.graph.compiling import Compilation, Compiler
from firnline.graph.cursor import CursorSeal
from firnline.graph.deadline import Deadline, in_time
from firnline.graph.explain.explanation import Detail
from firnline.graph.freshness import KnownFreshness
from firnline.graph.live import fingerprint
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.operations import checked, publish
from firnline.graph.policy.checks import Verification
from firnline.graph.respond import Responder
from firnline.graph.schema import TenantSchema
from firnline.graph.tenants import TenantGraphs
from firnline.graph.warming import Warming
from firnline.observe.alerting import Alerting
from firnline.observe.calls import CallMetrics
from firnline.observe.metrics import OperationMetrics
from firnline.observe.webhook import alert_webhook
from firnline.settings import Settings, read_settings
from firnline.spec.effective import effective_mappings, effective_sync
from firnline.spec.load import load_project
from firnline.spec.model import Project, TenantSpec
from firnline.state.rows import OperationRow
from firnline.state.state import State
from firnline.sync.report import OnProgress, SyncReport, Trouble
from firnline.sync.run import Source, sync_tenant
from firnline.transport import Use

_LOG = logging.getLogger("firnline")
VERIFY_SHARE = 0.6  # of a request's time, for asking sources: the answer has to be made, too


class App:
    """One opened project. Made by `opened`; safe to share between tasks of one event loop."""

    def __init__(
        self,
        *,
        directory: Path,
        project: Project,
        settings: Settings,
        clock: Clock,
        connections: Connections,
        vault: Vault,
        read_only: bool,
    ) -> None:
        self.directory = directory
        self.project = project
        self.settings = settings
        self.clock = clock
        self.connections = connections
        self.caches = OpenCaches(
            settings.home / "cache",
            clock=clock,
            open_max=settings.open_caches_max,
            idle_s=settings.open_caches_idle_s,
            memory=settings.duckdb_memory,
            threads=settings.duckdb_threads,
            read_only=read_only,
        )
        self.metrics = OperationMetrics()
        self.call_metrics = CallMetrics(connections.transport.circuits.facts)
        connections.transport.tell(self.call_metrics.record)
        self.graphs = TenantGraphs(project, catalogs=connections.state, clock=clock)
        self.auditing = Auditing(
            connections.state,
            self.graphs,
            key=vault.derive(b"audit"),
            clock=clock,
            mode=settings.audit,
            waiting_max=settings.audit_waiting_max,
        )
        self.connect_links = ConnectLinks(
            vault.derive(b"connect links"),
            claims=connections.state.connect_links,
            clock=clock,
            public_url=settings.public_url,
            return_to=settings.return_to,
        )
        seal = CursorSeal(vault.derive(b"cursors"))
        mask_key = partial(_mask_key, vault)
        self.compiler = Compiler(
            self.graphs,
            caches=self._cache,
            seal=seal,
            clock=clock,
            cost_max=settings.operation_cost_max,
            mask_key=mask_key,
        )
        self.askers = Askers(connections.state.askers, clock=clock)
        self.verification = Verification(
            Verifying(connections, project.tenants, clock=clock),
            clock,
            deadline_s=settings.request_deadline_s * VERIFY_SHARE,
        )
        self.standings = connections.state.standings(clock)
        self.alerting = Alerting(
            connections.state,
            send=alert_webhook(settings, transport=connections.transport, clock=clock),
            clock=clock,
        )
        self.responder = Responder(
            self.graphs,
            databases=self.database,
            operations=connections.state,
            seal=seal,
            clock=clock,
            resident=ResidentTables(settings.resident_mb * 1024 * 1024),
            kept_bytes=settings.response_cache_mb * 1024 * 1024,
            loads_behind=True,
            verification=self.verification,
            mask_key=mask_key,
            cost_max=settings.operation_cost_max,
            askers=self.askers,
            freshness=KnownFreshness(self.standings.of),
        )

    @property
    def state(self) -> State:
        """Return the state store."""
        return self.connections.state

    def tenant(self, name: str) -> TenantSpec:
        """Return a declared tenant; raises UnknownTenantError."""
        if name not in self.project.tenants:
            raise UnknownTenantError(name, list(self.project.tenants))
        return self.project.tenants[name]

    def make_connect_link(
        self,
        tenant: str,
        *,
        person: str = "",
        connections: Sequence[str] = (),
        lifetime: timedelta = LIFETIME,
        return_to: str = "",
        is_shared: bool = False,
    ) -> MadeLink:
        """Return a link through which the tenant's admin, or one person, connects systems.

        Raises UnknownTenantError or what `ConnectLinks.make` raises.
        """
        return self.connect_links.make(
            self.tenant(tenant),
            person=person,
            connections=connections,
            lifetime=lifetime,
            return_to=return_to,
            is_shared=is_shared,
        )

    async def _cache(self, tenant: str) -> TenantDatabase | None:
        """Return the tenant's cache, None when there is none or it cannot be opened now."""
        if not self.cache_path(tenant).exists():
            return None
        try:
            return await self.database(tenant)
        except CacheError:
            return None

    def cache_path(self, tenant: str) -> Path:
        """Return where a tenant's cache lies."""
        return self.caches.path(tenant)

    async def database(self, tenant: str) -> TenantDatabase:
        """Return the tenant's cache: made when absent, unless opened for reading only.

        Raises UnknownTenantError, NoDataYetError, CacheLockedError or CacheCorruptError.
        """
        self.tenant(tenant)
        return await self.caches.database(tenant)

    async def ask(
        self,
        principal: Principal,
        query: str | None = None,
        *,
        document_id: str | None = None,
        variables: Mapping[str, object] | None = None,
        operation_name: str | None = None,
        explain: Detail | None = None,
        takes_parts: bool = False,
        published: Sequence[str] = (),
        unsent: bytes = b"",
    ) -> Answer:
        """Answer one GraphQL question as `principal`; raises DeadlineError when it takes too long.

        The work is then cancelled down to the statement that DuckDB ran. `published` are name and
        id of `query`, where it is a published operation's. An answer with the fingerprint `unsent`
        is the one that a subscription has already.
        """
        question = Question(
            *(query, document_id, variables, operation_name, explain, takes_parts),
            published=tuple(published),
        )
        # The edge's own deadline began earlier; this one is for everybody else.
        deadline = Deadline(self.settings.request_deadline_s)
        try:
            answer = await in_time(self.responder.answer(principal, question), deadline)
        except FirnlineError as error:
            await self.auditing.refused(principal, question, error)
            raise
        if unsent and fingerprint(answer) == unsent:
            return answer  # nobody receives it: nothing was read that is not on record
        return await self.auditing.answered(principal, question, answer)

    async def schema(self, tenant: str, *, person: str = "") -> TenantSchema:
        """Return the tenant's schema of today, or the part of it that a person may read."""
        self.tenant(tenant)
        if person:
            return await self.responder.visible_schema(Principal(tenant, person.casefold()))
        return self.graphs.schema(await self.graphs.graph(tenant))

    async def compiled(self, tenant: str, text: str) -> Compilation:
        """Check an operation against the tenant's schema and compile its plan.

        Raises what `publish` raises of a document that does not fit.
        """
        checked(text, tenant=tenant, schema=await self.schema(tenant))
        return await self.compiler.compile(tenant, text)

    async def publish(
        self,
        tenant: str,
        text: str,
        *,
        operation_id: str = "",
        compilation: Compilation | None = None,
    ) -> OperationRow:
        """Check and compile an operation for the tenant, unless it was compiled, and store it.

        Raises what keeps it from ever being answered.
        """
        (compilation or await self.compiled(tenant, text)).require()
        return await publish(
            text,
            tenant=tenant,
            schema=await self.schema(tenant),
            store=self.state,
            now=self.clock.now(),
            operation_id=operation_id,
        )

    async def operations(self, tenant: str) -> Sequence[OperationRow]:
        """Return the operations published for a tenant."""
        self.tenant(tenant)
        return await self.state.operations(tenant)

    async def channels(
        self, tenant: str, names: Sequence[str] = ()
    ) -> tuple[Sequence[Channel], dict[str, FirnlineError]]:
        """Return the ways to the tenant's systems, or to those named, and why others are closed.

        One system that is not connected must not stop the rest; raises its error when there is no
        rest, and UnknownConnectionError in any case.
        """
        spec = self.tenant(tenant)
        wanted = tuple(names or spec.connections)
        for name in wanted:
            declared_site(spec, name)
        channels: list[Channel] = []
        closed: dict[str, FirnlineError] = {}
        for name in wanted:
            try:
                channels.append(await self.connections.channel(tenant, spec, name, use=Use.SYNC))
            except ConnectionClosedError as error:
                closed[name] = error
        if closed and not channels:
            raise next(iter(closed.values()))
        return channels, closed

    async def discover(self, tenant: str, names: Sequence[str] = ()) -> DiscoveryReport:
        """Discover the tenant's systems and store their catalogs."""
        channels, closed = await self.channels(tenant, names)
        report = await discover_tenant(
            tenant, channels=channels, state=self.state, clock=self.clock
        )
        return replace(report, failures={**closed, **report.failures})

    async def mapping_problems(self, tenant: str) -> Sequence[MappingError]:
        """Return what the tenant's mappings name that its catalogs do not have."""
        self.tenant(tenant)
        known = {
            name: await self.state.catalog(tenant, name) for name in self.tenant(tenant).connections
        }
        catalogs = {name: found[1] for name, found in known.items() if found is not None}
        return mapping_problems(effective_mappings(self.project, tenant), catalogs)

    async def sync(
        self,
        tenant: str,
        names: Sequence[str] = (),
        *,
        only: Sequence[str] = (),
        full: bool = False,
        on_progress: OnProgress | None = None,
    ) -> SyncReport:
        """Bring the tenant's cache up to date; a system without a catalog is discovered first."""
        spec = self.tenant(tenant)
        sources = []
        channels, closed = await self.channels(tenant, names)
        for channel in channels:
            known = await self.state.catalog(tenant, channel.name)
            if known is None:
                closed |= (await self.discover(tenant, [channel.name])).failures
                known = await self.state.catalog(tenant, channel.name)
            if known is not None:
                sources.append(Source(channel.name, channel.connector, channel, known[1]))
        # An object asked for by name may be behind the closed door: say that, not "unknown".
        if closed and (only or not sources):
            raise next(iter(closed.values()))
        database = await self.database(tenant)
        with database.kept_open():
            report = await sync_tenant(
                tenant,
                effective_sync(self.project.integration, spec),
                sources=sources,
                database=database,
                clock=self.clock,
                on_progress=on_progress or (lambda _progress: None),
                only=only,
                full=full,
            )
        return replace(report, closed={name: Trouble.of(why) for name, why in closed.items()})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Work behind what is served: prepare tenants, then close caches that nobody uses."""
        tasks = [
            asyncio.create_task(self.caches.keep_resting()),
            asyncio.create_task(self._warm_on()),
            asyncio.create_task(self.askers.keep_written()),
            asyncio.create_task(self.connections.keep_fresh(self.project.tenants)),
            asyncio.create_task(self.standings.keep_current()),
            asyncio.create_task(self.alerting.keep_telling()),
            asyncio.create_task(
                self.auditing.keep_short(sorted(self.project.tenants), self.settings.audit_days)
            ),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):  # nobody waits for it: the log is where it shows
                    _LOG.error("work behind the server failed", exc_info=ended)
            await self.askers.write()

    async def warm(self) -> list[str]:
        """Prepare the tenants that published last, then those synced last; return which.

        Published operations are compiled for the rights of people who asked them before.
        """
        tenants_max = self.settings.warm_tenants_max
        if not tenants_max:
            return []
        publishers = await self.state.newest_publishers(tenants_max)
        synced = await asyncio.to_thread(self.caches.last_written, self.project.tenants)
        known = self.project.tenants
        order = [name for name in dict.fromkeys([*publishers, *synced]) if name in known]
        return await self._warming().run(order[:tenants_max])

    async def _warm_on(self) -> None:
        """Prepare tenants, then what is published while serving, whoever publishes it."""
        if not self.settings.warm_tenants_max:
            return
        warming = self._warming()
        known = await warming.published()
        await self.warm()
        await warming.follow(
            known, tenants=self.project.tenants, every_s=self.settings.publications_every_s
        )

    def _warming(self) -> Warming:
        return Warming(
            self.graphs,
            databases=self.database,
            operations=self.state,
            askers=self.state.askers,
            ahead=self.responder.ahead,
            clock=self.clock,
            seconds_max=self.settings.warm_seconds_max,
        )

    async def close(self) -> None:
        """Close every cache, after what was being loaded from it was given up."""
        await self.responder.loading.close()
        await self.auditing.close()
        await self.caches.close()


def _mask_key(vault: Vault, tenant: str) -> bytes:
    """Return a tenant's key of masks that are hashes."""
    return vault.derive(b"mask " + tenant.encode())


@asynccontextmanager
async def opened(
    directory: Path,
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    read_only: bool = False,
) -> AsyncIterator[App]:
    """Open the project in `directory` and close everything in the end.

    `read_only` opens caches for reading, so that several processes may look at once. Raises
    SpecError, VaultKeyInvalidError or what opening the state raises.
    """
    project = load_project(directory)
    settings = settings or read_settings()
    clock = clock or SystemClock()
    async with Connections.open(settings, clock=clock) as connections:
        app = App(
            directory=directory,
            project=project,
            settings=settings,
            clock=clock,
            connections=connections,
            vault=connections.vault,
            read_only=read_only,
        )
        try:
            await app.standings.load()
            yield app
        finally:
            await app.close()
