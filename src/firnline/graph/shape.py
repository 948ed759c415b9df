"""What a tenant's graph consists of: both faces of it, before any GraphQL type exists.

Takes the spec's effective mappings and the connections' catalogs; schema builds types from a
`TenantGraph`, plan reads sources from it. The builder's face holds the declared objects, the
provider's face every exposed object under a namespace named after its connection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from firnline.cache.naming import column_names
from firnline.catalog.mapping import MappingError, mapping_problems, scalar_of
from firnline.catalog.model import Catalog, EnumValue, FieldInfo, ObjectInfo, ScalarName
from firnline.graph.choices import choices_of, choices_text
from firnline.graph.compounds import GraphCompound, provider_compounds
from firnline.graph.names import field_name, graphql_name, names_beside, object_names
from firnline.graph.policy.permission_age import AgeLimit, age_limits
from firnline.graph.policy.reduction import without_hidden
from firnline.graph.provenance import label_and_help, provenance, sentences
from firnline.graph.ways import GraphFork, GraphRelation, provider_ways
from firnline.spec.effective import (
    EffectiveMapping,
    effective_access,
    effective_mappings,
    policy_for,
)
from firnline.spec.model import (
    FieldMapping,
    FromField,
    ObjectPolicy,
    ObjectSpec,
    Project,
    RelationSpec,
)

__all__ = [
    "GraphCompound",
    "GraphField",
    "GraphFork",
    "GraphObject",
    "GraphRelation",
    "TenantGraph",
    "build_graph",
    "list_name_of",
]


@dataclass(frozen=True, slots=True)
class GraphField:
    """One field of one object: its GraphQL name and type, and what it is read from."""

    name: str
    scalar: ScalarName
    mapping: FieldMapping
    description: str = ""
    words: tuple[str, ...] = ()
    choices: tuple[EnumValue, ...] = ()

    @property
    def choices_text(self) -> str:
        """Return what the field can be, as one sentence."""
        return choices_text(self.choices, is_closed=bool(self.words))


@dataclass(frozen=True, slots=True)
class GraphObject:
    """One object of the graph, on one of its two faces.

    `namespace` is empty on the builder's face. `list_name` and `one_name` are root fields.
    """

    type_name: str
    list_name: str
    one_name: str
    namespace: str
    connection: str
    source: ObjectInfo
    where: Mapping[str, Mapping[str, object]]
    key: str
    fields: Mapping[str, GraphField]
    relations: Mapping[str, GraphRelation]
    policy: ObjectPolicy
    description: str = ""
    forks: Mapping[str, GraphFork] = field(default_factory=dict)
    compounds: Mapping[str, GraphCompound] = field(default_factory=dict)
    hidden_fields: Mapping[str, GraphField] = field(default_factory=dict)
    hidden_relations: Mapping[str, GraphRelation] = field(default_factory=dict)

    @property
    def ruling_fields(self) -> Mapping[str, GraphField]:
        """Return all fields that the policy's conditions may read, those it hides among them."""
        return {**self.fields, **self.hidden_fields} if self.hidden_fields else self.fields

    @property
    def ruling_relations(self) -> Mapping[str, GraphRelation]:
        """Return all relations that the policy's conditions may follow."""
        if not self.hidden_relations:
            return self.relations
        return {**self.relations, **self.hidden_relations}

    @property
    def several_name(self) -> str:
        """Return the root field that gives records by their keys."""
        return f"{self.one_name}s" if self.namespace else f"{self.list_name}ByKey"


@dataclass(frozen=True)
class TenantGraph:
    """Everything that a tenant's schema and plans are made from.

    `columns` maps connection -> object -> field -> storage column.
    """

    tenant: str
    objects: Mapping[str, GraphObject]
    catalogs: Mapping[str, Catalog]
    columns: Mapping[str, Mapping[str, Mapping[str, str]]] = field(repr=False)

    @cached_property
    def entries(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        """Return, by (namespace, field), the type that a root field gives and how many of it."""
        return {
            (found.namespace, name): (type_name, way)
            for type_name, found in self.objects.items()
            for name, way in (
                (found.list_name, "list"),
                (found.one_name, "one"),
                (found.several_name, "several"),
            )
        }

    @cached_property
    def age_limits(self) -> tuple[AgeLimit, ...]:
        """Return how old what decides about each type may be, where a policy says so."""
        return age_limits(self)

    @cached_property
    def has_age_limits(self) -> bool:
        """Say whether any policy states how old something may be."""
        return any(found.policy.max_age is not None for found in self.objects.values())

    @cached_property
    def shape(self) -> str:
        """Return a digest of all that is visible: equal shapes may share one schema."""
        digest = hashlib.sha256()
        for part in _visible(self.objects):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()[:16]

    @cached_property
    def version(self) -> str:
        """Return a digest of all that plans depend on: mappings and catalogs, too."""
        digest = hashlib.sha256(self.shape.encode())
        for name, catalog in sorted(self.catalogs.items()):
            digest.update(f"{name}:{catalog.fingerprint}".encode())
        for type_name, found in sorted(self.objects.items()):
            digest.update(f"{type_name}:{found.where!r}:{found.fields!r}".encode())
            digest.update(f"{found.policy!r}:{found.hidden_fields!r}".encode())
        return digest.hexdigest()[:16]


def build_graph(project: Project, tenant: str, catalogs: Mapping[str, Catalog]) -> TenantGraph:
    """Return the tenant's graph; raises MappingError when a mapping names what is not there."""
    mappings = effective_mappings(project, tenant)
    problems = mapping_problems(mappings, catalogs)
    if problems:
        raise MappingError(
            "; ".join(problem.message for problem in problems),
            hint=" ".join(dict.fromkeys(problem.hint for problem in problems)),
        )
    return graph_of(project, tenant, mappings, catalogs)


def graph_of(
    project: Project,
    tenant: str,
    mappings: Mapping[str, EffectiveMapping],
    catalogs: Mapping[str, Catalog],
) -> TenantGraph:
    """Return the graph that mappings of a tenant make, all of which the catalogs have."""
    objects: dict[str, GraphObject] = {}
    for found in (
        *_builder_face(project, tenant, mappings, catalogs),
        *_provider_face(project, tenant, catalogs),
    ):
        objects.setdefault(found.type_name, found)
    objects = without_hidden(objects)
    columns = {
        name: {each.name: column_names(f.name for f in each.fields) for each in catalog.objects}
        for name, catalog in catalogs.items()
    }
    return TenantGraph(tenant=tenant, objects=objects, catalogs=catalogs, columns=columns)


def list_name_of(name: str, declared: ObjectSpec) -> str:
    """Return the root list field of a builder's object."""
    return declared.plural or f"{_lower_first(name)}s"


def _builder_face(
    project: Project,
    tenant: str,
    mappings: Mapping[str, EffectiveMapping],
    catalogs: Mapping[str, Catalog],
) -> Iterator[GraphObject]:
    policies = effective_access(project.integration, project.tenants[tenant]).objects
    present = {
        name: mapping
        for name, mapping in mappings.items()
        if mapping.connection in catalogs and _is_shown(policy_for(policies, name))
    }
    for name, mapping in present.items():
        declared = project.integration.objects[name]
        provider = catalogs[mapping.connection].provider
        source = catalogs[mapping.connection].by_name[mapping.source]
        fields = {
            each: GraphField(
                name=each,
                scalar=scalar_of(spec.type),
                mapping=mapping.fields[each],
                description=sentences(
                    spec.description, provenance(mapping.fields[each], source, provider)
                ),
                words=spec.values,
                choices=choices_of(mapping.fields[each], spec.values, source),
            )
            for each, spec in declared.fields.items()
            if each in mapping.fields
        }
        relations = {
            each: GraphRelation(
                name=each,
                target=relation.to,
                many=relation.many,
                local=local,
                remote=remote,
                description=relation.description or _relation_text(relation, local, remote),
            )
            for each, relation in declared.relations.items()
            for local, remote in relation.on.items()
            if relation.to in present and local in fields and remote in present[relation.to].fields
        }
        yield GraphObject(
            type_name=name,
            list_name=list_name_of(name, declared),
            one_name=_lower_first(name),
            namespace="",
            connection=mapping.connection,
            source=source,
            where=mapping.where,
            key=declared.key,
            fields=fields,
            relations=relations,
            policy=policy_for(policies, name) or ObjectPolicy(),
            description=sentences(declared.description, f"From {provider}.{source.name}"),
        )


def _provider_face(
    project: Project, tenant: str, catalogs: Mapping[str, Catalog]
) -> Iterator[GraphObject]:
    access = effective_access(project.integration, project.tenants[tenant])
    for connection, catalog in catalogs.items():
        policies = access.providers.get(catalog.provider, {})
        exposed = {
            found.name: found
            for found in catalog.objects
            if found.exposed and _is_shown(policy_for(policies, found.name))
        }
        names = object_names(exposed)
        types = {name: _provider_type(connection, own) for name, own in names.items()}
        taken = names_beside(types.values())
        ways = provider_ways(exposed, types, taken)
        for name, source in exposed.items():
            fields = {field_name(each.name): _provider_field(each) for each in source.fields}
            own = ways[name]
            policy = _in_graph_names(policy_for(policies, name) or ObjectPolicy(), source)
            names_taken = {*fields, *own.relations, *own.forks}
            compounds = provider_compounds(source, types[name], names=names_taken, types=taken)
            yield GraphObject(
                type_name=types[name],
                list_name=names[name],
                one_name=f"{names[name]}_by_key",
                namespace=graphql_name(connection),
                connection=connection,
                source=source,
                where={},
                key=field_name(source.key),
                fields=fields,
                relations=own.relations,
                policy=policy,
                description=source.description or source.label,
                forks=own.forks,
                compounds={each.name: each for each in compounds},
            )


def _provider_field(source: FieldInfo) -> GraphField:
    return GraphField(
        name=field_name(source.name),
        scalar=source.type,
        mapping=FromField.model_construct(from_=source.name, values={}, otherwise=None),
        description=label_and_help(source),
        choices=source.values,
    )


def _in_graph_names(policy: ObjectPolicy, source: ObjectInfo) -> ObjectPolicy:
    """Return a policy that names fields as the graph does, not as the provider."""
    if not (policy.hide or policy.mask or policy.fields or policy.presets):
        return policy
    names = {each.name: field_name(each.name) for each in source.fields}
    changed = {
        "hide": tuple(names.get(each, each) for each in policy.hide),
        "mask": {names.get(each, each): kind for each, kind in policy.mask.items()},
        "fields": {names.get(each, each): rule for each, rule in policy.fields.items()},
        "presets": {
            verb: {names.get(each, each): value for each, value in values.items()}
            for verb, values in policy.presets.items()
        },
    }
    return policy.model_copy(update=changed)


def _relation_text(relation: RelationSpec, local: str, remote: str) -> str:
    if relation.many:
        return f"The {relation.to} records whose {remote} is this one's {local}."
    return f"The {relation.to} whose {remote} is this one's {local}."


def _provider_type(connection: str, name: str) -> str:
    return f"{connection[0].upper()}{connection[1:]}_{name}"


def _is_shown(policy: ObjectPolicy | None) -> bool:
    return policy is not None and policy.mode != "deny"


def _lower_first(name: str) -> str:
    return name[0].lower() + name[1:]


def _visible(objects: Mapping[str, GraphObject]) -> Iterator[str]:
    for name, found in sorted(objects.items()):
        yield f"{name}|{found.list_name}|{found.one_name}|{found.namespace}|{found.key}"
        yield found.description
        for each in found.fields.values():
            yield f"{each.name}|{each.scalar}|{each.description}|{each.words}|{each.choices_text}"
        for relation in found.relations.values():
            yield f"{relation.name}|{relation.target}|{relation.many}|{relation.description}"
        for fork in found.forks.values():
            targets = "|".join(way.target for way in fork.ways)
            yield f"{fork.name}|{fork.type_name}|{fork.description}|{targets}"
        for compound in found.compounds.values():
            parts = "|".join(f"{part}={own}" for part, own in compound.parts.items())
            yield f"{compound.name}|{compound.type_name}|{compound.description}|{parts}"


def everything_stored(graph: TenantGraph) -> dict[str, dict[str, frozenset[str]]]:
    """Return all fields as if they were synced; rights do not depend on what was already."""
    return {
        connection: {each.name: frozenset(each.by_name) for each in catalog.objects}
        for connection, catalog in graph.catalogs.items()
    }
