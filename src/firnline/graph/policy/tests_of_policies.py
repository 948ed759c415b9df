"""Tests of the policy that stand in the spec, run without any data.

Takes a project; `firnline check` and callers of the API receive what failed. Each test's record is
put into a cache in memory and asked for through the same scans as a tenant's records: there is no
second evaluator that could agree with the test and disagree with the gateway. The source's own
permissions are taken to allow everything, so that the builder's policy alone decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from firnline.access.decisions import Decisions
from firnline.access.model import Everything, ObjectAccess, SourceAccess
from firnline.access.principal import Principal
from firnline.cache.query import BoundList, Call, Expression
from firnline.cache.render import render
from firnline.cache.scratch import ScratchCache
from firnline.catalog.conditions import bound
from firnline.catalog.mapping import scalar_of
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, ScalarName
from firnline.errors import UsageError
from firnline.graph.policy.binding import rulings
from firnline.graph.policy.condition_age import ConditionAges
from firnline.graph.policy.verdicts import Verdicts
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.scan import Aliases, MaskedFieldError, Scan
from firnline.graph.shape import GraphObject, TenantGraph, graph_of
from firnline.spec.document import YamlPath, read_document
from firnline.spec.effective import EffectiveMapping
from firnline.spec.load import INTEGRATION_FILE, TENANTS_FOLDER
from firnline.spec.model import ConnectionSpec, FromField, ObjectSpec, Project, TenantSpec
from firnline.spec.policy import PolicyTest
from firnline.spec.problems import Problem, quoted

_PLACE = "records"  # the connection and provider that the records seem to come from
_NOBODY = "policy-tests"  # the tenant for which the integration's own tests are run
_WHOLE = ObjectAccess(readable=True, reason="", rows=Everything())


@dataclass(frozen=True, slots=True)
class PolicyFailure:
    """A test that found something else than it expects; `path` is where its file says so."""

    path: YamlPath
    message: str


def policy_problems(directory: Path, project: Project, *, now: datetime) -> list[Problem]:
    """Run all tests of a project's policies; return what failed, with file and line."""
    found: list[Problem] = []
    files: dict[str | None, str] = {None: INTEGRATION_FILE}
    files |= {name: f"{TENANTS_FOLDER}/{name}.yaml" for name in project.tenants}
    for tenant, file in files.items():
        failures = failed_policy_tests(project, tenant, now=now)
        document = read_document(directory / file, file) if failures else None
        for failure in failures:
            assert document is not None
            place = document.place(failure.path)
            found.append(Problem(file, *place, "policy_test_failed", failure.message))
    return sorted(found)


def failed_policy_tests(
    project: Project, tenant: str | None, *, now: datetime
) -> list[PolicyFailure]:
    """Run a tenant's tests against its effective policy; None: the integration's own."""
    spec = project.integration if tenant is None else project.tenants[tenant]
    if not spec.access.tests:
        return []
    graph = _graph(project, tenant)
    return [
        failure
        for position, test in enumerate(spec.access.tests)
        for failure in _failures(project, graph, test, ("access", "tests", position), now)
    ]


def shown_by_policy(
    project: Project, tenant: str | None, test: PolicyTest, *, now: datetime
) -> Mapping[str, str | None] | None:
    """Return what a test's asker is shown of its record, as text by field; None: nothing of it."""
    graph = _graph(project, tenant)
    records = _Records(project.integration.objects, now)
    key = records.add(test.object, test.record)
    with ScratchCache() as cache:
        for found in graph.catalogs[_PLACE].objects:
            cache.put(_PLACE, found, records.rows.get(found.name, []))
        trial = _Trial(cache, _context(graph, test, now), graph.objects.get(test.object))
        if trial.found is None or trial.reason(key) is not None:
            return None
        return {name: trial.shown(key, name) for name in trial.found.fields}


def _failures(
    project: Project, graph: TenantGraph, test: PolicyTest, path: YamlPath, now: datetime
) -> Iterator[PolicyFailure]:
    records = _Records(project.integration.objects, now)
    key = records.add(test.object, test.record)
    subject = f"{test.name}: " if test.name else ""
    with ScratchCache() as cache:
        catalog = graph.catalogs[_PLACE]
        for found in catalog.objects:
            cache.put(_PLACE, found, records.rows.get(found.name, []))
        trial = _Trial(cache, _context(graph, test, now), graph.objects.get(test.object))
        reason = trial.reason(key)
        if (reason is None) != test.expect.visible:
            what = "is visible" if reason is None else f"is not visible: {reason}"
            message = f"{subject}the {test.object} {what}"
            yield PolicyFailure((*path, "expect", "visible"), message)
        elif reason is None:
            for name, problem in trial.differences(key, test):
                yield PolicyFailure((*path, "expect", *name), f"{subject}{problem}")
        for name, problem in trial.otherwise_decided(test):
            yield PolicyFailure((*path, "expect", *name), f"{subject}{problem}")


@dataclass(slots=True)
class _Trial:
    """One record asked for by one principal."""

    cache: ScratchCache
    context: GraphContext
    found: GraphObject | None

    def reason(self, key: Any) -> str | None:
        """Return why the record is not seen, None when it is."""
        if self.found is None:
            return "the policy denies the object"
        scan = Scan(self.context, self.found, Aliases())
        if scan.denied is not None:
            return scan.denied.reason
        rows = self._asked(scan, key, {"k": scan.field(self.found.key)})
        return None if rows else "no condition of `rows` lets it through"

    def differences(self, key: Any, test: PolicyTest) -> Iterator[tuple[YamlPath, str]]:
        """Yield what is shown otherwise than expected."""
        assert self.found is not None
        for position, name in enumerate(test.expect.hidden):
            if name in self.found.fields:
                yield ("hidden", position), f"{test.object}.{name} is not hidden"
        for name, expected in test.expect.fields.items():
            if name not in self.found.fields:
                yield ("fields", name), f"{test.object}.{name} is hidden"
                continue
            shown, is_same = self._compared(key, name, expected)
            if not is_same:
                said = "null" if shown is None else quoted(shown)
                wanted = "null" if expected is None else quoted(expected)
                yield ("fields", name), f"{test.object}.{name} is {said}, not {wanted}"

    def otherwise_decided(self, test: PolicyTest) -> Iterator[tuple[YamlPath, str]]:
        """Yield the verbs and presets that are decided otherwise than expected."""
        expected = test.expect
        if self.found is None:
            for position, _ in enumerate(expected.allowed):
                yield ("allowed", position), f"the policy denies {test.object}"
            return
        context = self.context
        verdicts = Verdicts.of(context.graph, self.found, context.decisions, now=context.now)
        for part, is_refused in (("allowed", False), ("refused", True)):
            for position, place in enumerate(getattr(expected, part)):
                field, _, verb = place.rpartition(".")
                if field and field not in self.found.fields:
                    reason = "the field is hidden"
                else:
                    reason = verdicts.of_field(field, verb) if field else verdicts.of_object(verb)
                if bool(reason) != is_refused:
                    said = f"refused: {reason}" if reason else "allowed"
                    yield (part, position), f"{test.object}: {place} is {said}"
        for kind, values in expected.presets.items():
            found = dict(verdicts.write(kind).presets)
            if found != {name: _plain(value) for name, value in values.items()}:
                yield ("presets", kind), f"{test.object}: {kind} sets {found or 'nothing'}"

    def shown(self, key: Any, name: str) -> str | None:
        """Return a field of the record as text."""
        return self._compared(key, name, None)[0]

    def _compared(self, key: Any, name: str, expected: Any) -> tuple[str | None, bool]:
        assert self.found is not None
        scalar = self.found.fields[name].scalar
        scan = Scan(self.context, self.found, Aliases())
        try:
            value = scan.shown(name)
        except MaskedFieldError:
            return None, expected is None
        try:
            same = _same(value, scalar, expected, self.context.now)
        except UsageError as error:
            return error.message, False
        (row,) = self._asked(scan, key, {"v": Call("text", (value,)), "s": same})
        return row["v"], bool(row["s"])

    def _asked(self, scan: Scan, key: Any, columns: Mapping[str, Expression]) -> list[Any]:
        assert self.found is not None
        own = self.found.fields[self.found.key]
        # Apart from what the policy lets through nothing else stands in the way.
        wanted = Call("eq", (scan.field(own.name), bound(key, own.scalar, self.context.now)))
        select = scan.select(tuple(columns.items()), [wanted])
        rows: list[Any] = self.cache.fetch(*render(select)).to_pylist()
        return rows


def _same(value: Expression, scalar: ScalarName, expected: Any, now: datetime) -> Expression:
    if expected is None:
        return Call("is_null", (value,))
    if scalar == "strings":
        return Call("same", (value, BoundList(tuple(expected), "VARCHAR")))
    return Call("same", (value, bound(expected, scalar, now)))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(slots=True)
class _Records:
    """The rows that a test's record and the records related to it make."""

    objects: Mapping[str, ObjectSpec]
    now: datetime
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def add(self, name: str, record: Mapping[str, Any], given: Mapping[str, Any] = {}) -> Any:
        """Add a record of an object with those it leads to; return its key."""
        declared = self.objects[name]
        values = {key: each for key, each in record.items() if key in declared.fields}
        values |= given
        values.setdefault(declared.key, self._made_up(declared, declared.key))
        for key, inner in record.items():
            relation = declared.relations.get(key)
            if relation is None or not isinstance(inner, Mapping):
                continue
            ((local, remote),) = relation.on.items()
            target = self.objects[relation.to]
            link = values.get(local, inner.get(remote))
            if link is None:
                link = self._made_up(target, remote)
            values[local] = link
            self.add(relation.to, inner, {remote: link})
        row = {key: self._stored(declared, key, each) for key, each in values.items()}
        self.rows.setdefault(name, []).append(row)
        return values[declared.key]

    def _made_up(self, declared: ObjectSpec, name: str) -> Any:
        number = next(self._numbers)
        match declared.fields[name].type:
            case "date" | "timestamp":
                return f"{1000 + number:04d}-01-01"
            case "id" | "string" | "enum":
                return f"made-up-{number}"
            case _:
                return number

    def _stored(self, declared: ObjectSpec, name: str, value: Any) -> Any:
        scalar = scalar_of(declared.fields[name].type)
        if value is None or scalar == "strings":
            return None if value is None else list(value)
        return str(bound(value, scalar, self.now).value)


def _graph(project: Project, tenant: str | None) -> TenantGraph:
    """Return the builder's face over records that are stored as the builder declares them."""
    declared = project.integration.objects
    catalog = Catalog(
        provider=_PLACE,
        objects=tuple(
            ObjectInfo(name=name, key=each.key, fields=tuple(_fields(each)))
            for name, each in declared.items()
        ),
    )
    mappings = {
        name: EffectiveMapping(
            object=name,
            connection=_PLACE,
            provider=_PLACE,
            source=name,
            where={},
            fields={key: FromField.model_validate({"from": key}) for key in each.fields},
        )
        for name, each in declared.items()
    }
    if tenant is None:
        connections = {_PLACE: ConnectionSpec(provider=_PLACE)}
        spec = TenantSpec(tenant=_NOBODY, connections=connections)
        project = Project(integration=project.integration, tenants={_NOBODY: spec})
    return graph_of(project, tenant or _NOBODY, mappings, {_PLACE: catalog})


def _fields(declared: ObjectSpec) -> Iterator[FieldInfo]:
    for name, each in declared.fields.items():
        scalar = scalar_of(each.type)
        # What a source takes of them is not the policy's to say.
        yield FieldInfo(
            name=name, type=scalar, precision=38, scale=9, createable=True, updateable=True
        )


def _context(graph: TenantGraph, test: PolicyTest, now: datetime) -> GraphContext:
    asker = test.asker
    principal = Principal(
        tenant=graph.tenant,
        email=asker.email.lower(),
        agent=asker.agent,
        purpose=asker.purpose,
        attributes=asker.attributes,
        operation=frozenset({asker.operation} - {""}),
    )
    stored = {
        name: {each.name: each.field_names for each in catalog.objects}
        for name, catalog in graph.catalogs.items()
    }
    catalog = graph.catalogs[_PLACE]
    ages = ConditionAges(graph.tenant, None, now)
    decisions = Decisions(
        sources={_PLACE: SourceAccess("test", "", {each.name: _WHOLE for each in catalog.objects})},
        catalogs=graph.catalogs,
        columns=graph.columns,
        stored=stored,
        rulings=rulings(graph, principal, stored=stored, ages=ages),
    )
    return GraphContext(
        principal=principal,
        graph=graph,
        decisions=decisions,
        now=now,
        resolve=unexecuted,
        freshness=dict,
        mask_key=lambda: b"policy tests",
    )
