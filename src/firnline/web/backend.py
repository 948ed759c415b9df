"""The gateway over an opened project: what the web edge serves.

Takes an `App`; the edge asks it for answers, people, examples and readiness.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Hashable, Mapping, Sequence

from graphql import OperationDefinitionNode, OperationType

from firnline.access.model import Person
from firnline.access.principal import Principal
from firnline.app import App
from firnline.cache.database import TenantDatabase
from firnline.catalog.relative_time import resolve
from firnline.errors import FirnlineError
from firnline.graph.answer import Answer
from firnline.graph.changes import Changes, Mark
from firnline.graph.documents import PUBLISHED_AGE_S, DocumentRules, Documents
from firnline.graph.explain.explanation import Detail, explained_to
from firnline.graph.guard import DocumentLimits, guarded
from firnline.graph.live import fingerprint, is_last, is_subscription, pace_of
from firnline.graph.shape import GraphObject, TenantGraph
from firnline.web.again import CountedRepeat
from firnline.web.gateway import Example, GraphAnswer, GraphRequest, Live, PersonChoice
from firnline.web.observed import Observed, observing, repeated
from firnline.web.refusals import MethodNotAllowedError, SubscriptionStreamError

_FIELDS_SHOWN = 6
_VARIABLE = re.compile(r"\$(\w+)\s*:\s*(\w+)")


class TenantNotServedError(FirnlineError):
    """A token names a tenant that is not declared; who else is declared is nobody's business."""

    code = "tenant_not_served"
    status = 404

    def __init__(self) -> None:
        super().__init__(
            "the token's tenant is not served here",
            hint="Issue tokens for a tenant that the project declares (tenants/*.yaml).",
        )


class ProjectGateway:
    """Answers for every tenant of one project (`web.gateway.Gateway`)."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._changes = Changes(app.graphs.graph, app.database)
        self._documents = Documents(app.state, rules=self._rules, clock=app.clock)

    async def execute(self, principal: Principal, request: GraphRequest) -> GraphAnswer:
        """Answer `request` as `principal`; raises TenantNotServedError."""
        if principal.tenant not in self._app.project.tenants:
            raise TenantNotServedError
        app = self._app
        with observing(app.metrics, principal.tenant, clock=app.clock) as observed:
            return await self._execute(principal, request, observed)

    async def _execute(
        self, principal: Principal, request: GraphRequest, observed: Observed
    ) -> GraphAnswer:
        is_apollo = "persistedQuery" in (request.extensions or {})
        document = await self._documents.document(
            principal.tenant,
            query=request.query,
            document_id=request.document_id,
            is_apollo=is_apollo,
        )
        observed.operation = document.name
        is_live = is_subscription(document.text, request.operation_name)
        if is_live and not request.takes_events:
            raise SubscriptionStreamError
        if request.queries_only and not is_live:
            require_query(document.text, request.operation_name)
        mark = await self._changes.mark(principal.tenant) if is_live else None
        answer = await self._app.ask(
            principal,
            document.text,
            variables=request.variables,
            operation_name=request.operation_name,
            explain=self._detail(principal, request),
            takes_parts=request.takes_parts,
            published=document.published,
            unsent=request.known,
        )
        observed.answer = answer
        if answer.executed and request.query is not None and request.document_id:
            self._documents.register(principal.tenant, request.document_id, request.query)
        return GraphAnswer(
            answer.body(),
            200 if answer.executed else 400,
            has_errors=bool(answer.errors),
            later=answer.later,
            tagged=answer.body(is_marked=False)
            if request.queries_only and answer.is_kept
            else None,
            again=None if is_live else await self._again(principal, request, observed, answer),
            live=None if mark is None else await self._live(principal, answer, mark),
        )

    async def _live(self, principal: Principal, answer: Answer, mark: Mark) -> Live:
        """Return what a subscription needs to know of an answer."""
        graphs = self._app.graphs
        until, _ = graphs.term(await graphs.graph(principal.tenant), principal)
        left_s = None if until is None else (until - self._app.clock.now()).total_seconds()
        pace = pace_of(answer, left_s)
        return Live(fingerprint(answer), mark, pace.rest_s, pace.renewed_s, is_last(answer))

    async def is_subscription(self, principal: Principal, request: GraphRequest) -> bool:
        """Say whether `request` asks to be answered again and again."""
        if principal.tenant not in self._app.project.tenants:
            return False  # as whatever cannot be found: who executes it is told
        try:
            document = await self._documents.document(
                principal.tenant, query=request.query, document_id=request.document_id
            )
        except FirnlineError:
            return False
        return is_subscription(document.text, request.operation_name)

    async def changed(self, principal: Principal, mark: Hashable) -> None:
        """Return as soon as answers may be other ones than at `mark`."""
        assert isinstance(mark, Mark)
        await self._changes.changed(principal.tenant, mark)

    async def _again(
        self, principal: Principal, request: GraphRequest, observed: Observed, answer: Answer
    ) -> CountedRepeat | None:
        """Return what gives a kept answer again; the next time the request need not be read."""
        app = self._app
        if answer.repeat is None:
            return None
        note = await app.auditing.again(principal, request.variables, answer)
        if note is None:
            return None
        return CountedRepeat(
            answer.repeat,
            answer.told(),
            app.clock.monotonic() + PUBLISHED_AGE_S if request.document_id else None,
            repeated(app.metrics, principal.tenant, observed),
            note,
            app.clock,
        )

    def _detail(self, principal: Principal, request: GraphRequest) -> Detail | None:
        """Return how much to explain of the answer; raises ExplainRefusedError."""
        if (request.extensions or {}).get("explain") is not True:
            return None
        settings, own = self._app.settings, self._app.tenant(principal.tenant).graph.explain
        is_open = (settings.explain or settings.development) if own is None else own
        return explained_to(principal, is_open=is_open)

    def _rules(self, tenant: str) -> DocumentRules:
        settings, own = self._app.settings, self._app.tenant(tenant).graph
        automatic = own.automatic_persisted_queries
        return DocumentRules(
            persisted_only=settings.persisted_only or own.persisted_only,
            automatic=settings.automatic_persisted_queries if automatic is None else automatic,
        )

    def tenants(self) -> Sequence[str]:
        """Return the names of the declared tenants, in order."""
        return sorted(self._app.project.tenants)

    async def people(self, tenant: str) -> Sequence[PersonChoice]:
        """Return the people whom the tenant's caches know, with the systems that know them."""
        try:
            graph = await self._app.graphs.graph(tenant)
            database = await self._app.database(tenant)
        except FirnlineError:
            return []  # nothing synced yet: the page says that there is nobody
        known = await asyncio.to_thread(self._known, graph, database)
        return [
            PersonChoice(email, person.name, _note(person, systems))
            for email, (person, systems) in sorted(known.items())
        ]

    def _known(
        self, graph: TenantGraph, database: TenantDatabase
    ) -> Mapping[str, tuple[Person, list[str]]]:
        found: dict[str, tuple[Person, list[str]]] = {}
        with database.snapshot() as snapshot:
            for connection, people in self._app.graphs.people(graph, snapshot).items():
                for person in people:
                    first, systems = found.setdefault(person.email.casefold(), (person, []))
                    systems.append(connection)
                    if not first.title and person.title:
                        found[person.email.casefold()] = (person, systems)
        return found

    async def examples(self, tenant: str) -> Sequence[Example]:
        """Return the published operations, then a first look at some objects."""
        try:
            graph = await self._app.graphs.graph(tenant)
        except FirnlineError:
            return []
        published = [
            Example(row.name, row.text, _variables(row.text, self._quarter_end()))
            for row in await self._app.operations(tenant)
        ]
        return [*published, *_first_looks(graph)]

    def figures(self) -> bytes:
        """Return what was asked here, and of providers, in Prometheus' text format."""
        return self._app.metrics.text() + self._app.call_metrics.text()

    async def ready(self) -> Mapping[str, str]:
        """Return each shared component with "ok" or the reason why it cannot serve.

        A tenant without data is not among them: it must not take the others out of service.
        """
        parts = {"project": "ok"}
        try:
            await self._app.state.ping()
            parts["state"] = "ok"
        except Exception as error:  # noqa: BLE001 - whatever the database says, it cannot serve
            parts["state"] = f"unreachable ({type(error).__name__})"
        return parts

    def _quarter_end(self) -> str:
        return resolve("endOfQuarter", self._app.clock.now()).date().isoformat()


def require_query(text: str, operation_name: str | None) -> None:
    """Raise MethodNotAllowedError unless the operation that would run is a query.

    Also raises what `guarded` raises for a text that cannot be looked at.
    """
    operations = [
        node
        for node in guarded(text, DocumentLimits()).definitions
        if isinstance(node, OperationDefinitionNode)
    ]
    for node in operations:
        is_meant = not operation_name or (node.name and node.name.value == operation_name)
        if is_meant and node.operation is not OperationType.QUERY:
            raise MethodNotAllowedError("POST")


def _note(person: Person, systems: Sequence[str]) -> str:
    return " - ".join(part for part in (person.title, ", ".join(sorted(systems))) if part)


def _variables(text: str, date_value: str) -> dict[str, object]:
    """Return values for the variables whose type suggests one."""
    suggested: Mapping[str, object] = {"Date": date_value, "Int": 10, "DateTime": "now"}
    return {name: suggested[kind] for name, kind in _VARIABLE.findall(text) if kind in suggested}


def _first_looks(graph: TenantGraph) -> list[Example]:
    builders = [found for found in graph.objects.values() if not found.namespace]
    own = [found for found in graph.objects.values() if found.namespace and found.source.custom]
    looks = [Example(found.type_name, _look(found)) for found in builders[:2]]
    looks += [Example(found.source.label or found.source.name, _look(found)) for found in own[:1]]
    return looks


def _look(found: GraphObject) -> str:
    fields = " ".join(list(found.fields)[:_FIELDS_SHOWN])
    inner = f"{found.list_name}(first: 10) {{\n    totalCount\n    nodes {{ {fields} }}\n  }}"
    if found.namespace:
        inner = f"{found.namespace} {{ {inner} }}"
    return f"query {found.type_name}s {{\n  {inner}\n}}\n"
