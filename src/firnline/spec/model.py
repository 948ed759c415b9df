"""firnline.yaml and tenants/<tenant>.yaml as frozen, closed models.

`spec.load` reads them with file, line and column on every error; `spec.check` adds what a single
model cannot see (relations, cycles, overrides that widen). Sync, catalog.mapping, access and graph
read them. The docstring under an attribute is its description in the JSON Schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    Tag,
)
from pydantic_core import CoreSchema

from firnline.connectors.limits import LimitsOverride
from firnline.spec.agents import AgentName, AgentSpec, PeopleLinks
from firnline.spec.branding import Branding
from firnline.spec.closed import Closed
from firnline.spec.modes import Mode, VerdictAge
from firnline.spec.policy import Mask, OnlyFor, PolicyTest
from firnline.spec.verbs import FieldPolicy, OperationPolicy, Presets, Verbs

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{0,62}$")]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9]{0,62}$")]
TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
# Minutes, hours or days.
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}(m|h|d)$")]
# A provider's field, or a way to one through references: "organization_id.external_id".
SourcePath = Annotated[str, StringConstraints(pattern=r"^[^\s.]+(\.[^\s.]+){0,3}$")]
BuilderType = Literal[
    "id",
    "string",
    "enum",
    "int",
    "long",
    "decimal",
    "float",
    "bool",
    "date",
    "timestamp",
    "strings",
]


Scalar = str | int | float | bool


class FromField(Closed):
    """Read a field; `values` renames stored values, `otherwise` stands for unlisted ones."""

    from_: SourcePath = Field(alias="from")
    """The provider's field, or a path to one through at most three references."""

    values: Mapping[str, Scalar] = Field(default_factory=dict)
    """Stored value -> the builder's value. Empty: every value is taken as it is stored."""

    otherwise: Scalar | None = None
    """Stands for values that `values` does not list: null when absent; "keep" keeps them."""


class FromTags(Closed):
    """Read a list field: the first listed element that the list holds decides."""

    tags: SourcePath
    """The provider's list field."""

    values: Mapping[str, Scalar] = Field(min_length=1)
    """Element -> the builder's value, in order of precedence."""

    otherwise: Scalar | None = None
    """Stands for lists that hold none of the elements."""


class When(Closed):
    """True where every condition holds, false elsewhere."""

    when: Mapping[SourcePath, Mapping[str, Any]] = Field(min_length=1)
    """Source path -> {operator: value}."""


class Constant(Closed):
    """The same value for every record."""

    constant: Scalar
    """The value."""


class FirstOf(Closed):
    """The first source that is not null."""

    first_of: tuple[SourcePath, ...] = Field(min_length=1)
    """Source paths, in order of preference."""


_KINDS: Mapping[str, type[Closed]] = {
    "from": FromField,
    "tags": FromTags,
    "when": When,
    "constant": Constant,
    "first_of": FirstOf,
}


def _kind(value: Any) -> str | None:
    """Return the tag of the mapping kind that `value` has the key of, or is."""
    for key, kind in _KINDS.items():
        if isinstance(value, kind) or (isinstance(value, Mapping) and key in value):
            return f"<{key}>"
    return None


def _shorthand(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


class _ShorthandSchema:
    """Tells the JSON Schema that a bare string is a field mapping, too."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        path = {
            "type": "string",
            "pattern": r"^[^\s.]+(\.[^\s.]+){0,3}$",
            "description": "The provider's field, taken as it is stored.",
        }
        return {"anyOf": [path, *handler(core)["oneOf"]]}


FieldMapping = Annotated[
    Annotated[FromField, Tag("<from>")]
    | Annotated[FromTags, Tag("<tags>")]
    | Annotated[When, Tag("<when>")]
    | Annotated[Constant, Tag("<constant>")]
    | Annotated[FirstOf, Tag("<first_of>")],
    Discriminator(_kind),
    BeforeValidator(_shorthand),
    _ShorthandSchema(),
]


class FieldSpec(Closed):
    """One field of a builder's object."""

    type: BuilderType
    """What the field holds, whatever the provider stores."""

    description: str = ""
    """Shown in the GraphQL schema."""

    values: tuple[str, ...] = ()
    """The words of an enum."""


class RelationSpec(Closed):
    """A way from one object to another, inside one provider or across two."""

    to: ObjectName
    """The object at the other end."""

    many: bool = False
    """Whether one record leads to a list of records."""

    on: Mapping[FieldName, FieldName] = Field(min_length=1, max_length=1)
    """Own field -> field of `to` that equals it."""

    description: str = ""
    """Shown in the GraphQL schema."""


class SourceSpec(Closed):
    """Where an object's records come from at one provider, and which of them count."""

    object: str = Field(min_length=1)
    """The provider's object."""

    where: Mapping[SourcePath, Mapping[str, Any]] = Field(default_factory=dict)
    """Only records that meet every condition count: source path -> {operator: value}."""

    fields: Mapping[FieldName, FieldMapping] = Field(default_factory=dict)
    """Builder's field -> where it comes from."""


class ObjectSpec(Closed):
    """One of the builder's objects."""

    description: str = ""
    """Shown in the GraphQL schema."""

    key: FieldName = "id"
    """The field that identifies a record."""

    plural: Name | None = None
    """The GraphQL list field; made from the object's name when absent."""

    fields: Mapping[FieldName, FieldSpec] = Field(min_length=1)
    """The object's fields."""

    relations: Mapping[FieldName, RelationSpec] = Field(default_factory=dict)
    """Ways to other objects."""

    sources: Mapping[str, SourceSpec] = Field(default_factory=dict)
    """Default mappings, by provider."""


class SyncObjects(Closed):
    """Which of a provider's objects are synced: glob patterns on names."""

    include: tuple[str, ...] = ("*",)
    """Patterns of objects to sync."""

    exclude: tuple[str, ...] = ()
    """Patterns of objects to leave out; they win over `include`."""


class SyncSpec(Closed):
    """How the cache is filled."""

    every: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(m|h|d)$")] = "15m"
    """The pause between incremental syncs, in minutes, hours or days."""

    objects: Mapping[str, SyncObjects] = Field(default_factory=dict)
    """Which objects are synced, by provider; all that discovery finds when absent."""


class ObjectPolicy(Closed):
    """Who sees an object."""

    mode: Mode = "deny"
    """`mirror`: what the source showed the person at the last sync; `verify`: what it shows them
    now, asked record by record; `policy`: what `rows` say; `deny`: nothing."""

    hide: tuple[str, ...] = ()
    """Fields that nobody sees, whatever the source allows: as if they did not exist."""

    rows: Mapping[str, Any] = Field(default_factory=dict)
    """Only records that meet these conditions: field -> {operator: value or {principal: fact}}."""

    mask: Mapping[str, Mask] = Field(default_factory=dict)
    """Fields shown in part: null, hash, last4, year or {redact: pattern}."""

    only_for: OnlyFor | None = None
    """Which agents and purposes may ask; everybody when absent."""

    verbs: Verbs | None = None
    """What may be done with it: a list, or verb -> who may; all that reads and no writing."""

    fields: Mapping[str, FieldPolicy] = Field(default_factory=dict)
    """Rules for single fields."""

    presets: Presets = Field(default_factory=dict)
    """What every write sets, whoever asks: create or update -> field -> value."""

    max_age: Duration | None = None
    """How old the permission records behind `mirror` may be: `15m`, `24h`, `7d`. Then the source
    is asked, where it can be; nothing is shown where it cannot."""

    verified_for: VerdictAge | None = None
    """How long the source's word on a record counts: `30s`, `5m`, up to ten minutes."""


class AccessSpec(Closed):
    """The builder's policy. An object that is neither named nor matched by "*" is denied."""

    objects: Mapping[str, ObjectPolicy] = Field(default_factory=dict)
    """The builder's objects, by name; "*" stands for those not named."""

    providers: Mapping[str, Mapping[str, ObjectPolicy]] = Field(default_factory=dict)
    """Provider -> the provider's own objects, by name; "*" stands for those not named."""

    operations: Mapping[str, OperationPolicy] = Field(default_factory=dict)
    """Published operations, by name; "*" stands for all others and for unpublished texts."""

    tests: tuple[PolicyTest, ...] = ()
    """What the policy must do, checked without data."""

    max_age: Duration | None = None
    """Stands for the `max_age` of every policy that states none; no limit when absent."""

    verified_for: VerdictAge | None = None
    """Stands for the `verified_for` of every policy that states none; a minute when absent."""


def _no_truth(value: Any) -> Any:
    """Keep `true` from passing as 1, which Python takes for equal."""
    return str(value) if isinstance(value, bool) else value


class IntegrationSpec(Closed):
    """firnline.yaml: what the builder ships to every tenant."""

    version: Annotated[Literal[1], BeforeValidator(_no_truth)]
    """The version of this file format."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """The integration's name."""

    description: str = ""
    """What the integration is for."""

    objects: Mapping[ObjectName, ObjectSpec] = Field(min_length=1)
    """The builder's objects."""

    sync: SyncSpec = SyncSpec()
    """How the cache is filled."""

    access: AccessSpec
    """Who sees what; the default is nothing."""

    agents: Mapping[AgentName, AgentSpec] = Field(default_factory=dict)
    """Who may act for people, by the name in their tokens; others are refused once one stands."""

    branding: Branding = Branding()
    """How the pages for connecting systems look."""


class ConnectionSpec(Closed):
    """One of the tenant's systems."""

    provider: str
    """A connector's name, such as salesforce."""

    settings: Mapping[str, str] = Field(default_factory=dict)
    """The settings that the connector declares, such as a subdomain."""

    auth: str = ""
    """How it signs in: one of the connector's flows; the usual one when absent."""

    limits: LimitsOverride | None = None
    """What the tenant's plan allows, where it differs from what the connector declares."""


class TenantMapping(Closed):
    """How this tenant differs: another source object, other fields, other values."""

    connection: str | None = None
    """The connection that the object comes from; the first with a default source when absent."""

    object: str | None = None
    """The provider's object. Another than the default's leaves the default's fields behind."""

    where: Mapping[SourcePath, Mapping[str, Any]] | None = None
    """Replaces the default's conditions as a whole."""

    fields: Mapping[FieldName, FieldMapping | None] = Field(default_factory=dict)
    """Replaces the default field by field; null leaves a field without a source."""


class GraphSpec(Closed):
    """How a tenant's graph is asked over HTTP."""

    persisted_only: bool = Field(default=False, alias="persistedOnly")
    """Run published operations only; a request that carries its own text is refused."""

    automatic_persisted_queries: bool | None = Field(
        default=None, alias="automaticPersistedQueries"
    )
    """Let Apollo's clients register texts by their hash; the installation's setting when absent."""

    explain: bool | None = None
    """Tell people how their own operations are answered; the installation's setting when absent."""


class TenantSpec(Closed):
    """tenants/<tenant>.yaml. Access overrides may narrow, never widen."""

    tenant: TenantName
    """The tenant's name, which is also the file's."""

    name: str = ""
    """What people call the tenant."""

    connections: Mapping[Name, ConnectionSpec] = Field(min_length=1)
    """The tenant's systems."""

    mappings: Mapping[ObjectName, TenantMapping] = Field(default_factory=dict)
    """Where the tenant's systems differ from the defaults, by the builder's object."""

    access: AccessSpec = AccessSpec()
    """Narrows the integration's policy."""

    agents: Mapping[AgentName, AgentSpec] = Field(default_factory=dict)
    """Narrows the integration's agents; an agent that is missing here is refused."""

    people: PeopleLinks = Field(default_factory=dict)
    """E-mail in tokens -> connection -> the person's user key or e-mail at that provider."""

    sync: SyncSpec | None = None
    """Replaces the integration's sync settings where it says something."""

    graph: GraphSpec = GraphSpec()
    """How the tenant's graph is asked over HTTP."""


class Project(BaseModel):
    """A loaded and checked directory: the integration and all its tenants."""

    model_config = ConfigDict(frozen=True)

    integration: IntegrationSpec
    tenants: Mapping[str, TenantSpec]
