"""firnline.yaml and tenants/<tenant>.yaml as frozen, closed models.

`spec.load` reads them with file, line and column on every error; `spec.check` adds what a single
model cannot see (relations, cycles, overrides that widen). Sync, catalog.mapping, access and graph
read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{0,62}$")]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9]{0,62}$")]
TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
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


class Closed(BaseModel):
    """Base of the spec models: unknown keys are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Scalar = str | int | float | bool


class FromField(Closed):
    """Read a field; `values` renames stored values, `otherwise` stands for unlisted ones.

    Without `otherwise` a value that `values` does not list becomes null; "keep" keeps it.
    """

    from_: SourcePath = Field(alias="from")
    values: Mapping[str, Scalar] = Field(default_factory=dict)
    otherwise: Scalar | None = None


class FromTags(Closed):
    """Read a list field: the first listed element that the list holds decides."""

    tags: SourcePath
    values: Mapping[str, Scalar]
    otherwise: Scalar | None = None


class When(Closed):
    """True where every condition holds: source path -> {operator: value}."""

    when: Mapping[SourcePath, Mapping[str, Any]]


class Constant(Closed):
    """The same value for every record."""

    constant: Scalar


class FirstOf(Closed):
    """The first source that is not null."""

    first_of: tuple[SourcePath, ...] = Field(min_length=1)


def _shorthand(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


FieldMapping = Annotated[
    FromField | FromTags | When | Constant | FirstOf, BeforeValidator(_shorthand)
]


class FieldSpec(Closed):
    """One field of a builder's object. `values` are the words of an enum."""

    type: BuilderType
    description: str = ""
    values: tuple[str, ...] = ()


class RelationSpec(Closed):
    """A way from one object to another: own field -> field of `to`, inside or across providers."""

    to: ObjectName
    many: bool = False
    on: Mapping[FieldName, FieldName] = Field(min_length=1, max_length=1)
    description: str = ""


class SourceSpec(Closed):
    """Where an object's records come from at one provider, and which of them count."""

    object: str = Field(min_length=1)
    where: Mapping[SourcePath, Mapping[str, Any]] = Field(default_factory=dict)
    fields: Mapping[FieldName, FieldMapping] = Field(default_factory=dict)


class ObjectSpec(Closed):
    """One of the builder's objects. `sources` are default mappings by provider."""

    description: str = ""
    key: FieldName = "id"
    plural: Name | None = None
    fields: Mapping[FieldName, FieldSpec] = Field(min_length=1)
    relations: Mapping[FieldName, RelationSpec] = Field(default_factory=dict)
    sources: Mapping[str, SourceSpec] = Field(default_factory=dict)


class SyncObjects(Closed):
    """Which of a provider's objects are synced: glob patterns on names."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()


class SyncSpec(Closed):
    """How the cache is filled."""

    every: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(m|h|d)$")] = "15m"
    objects: Mapping[str, SyncObjects] = Field(default_factory=dict)  # by provider


class ObjectPolicy(Closed):
    """`mirror`: what the source shows the person, minus `hide`; `deny`: nothing."""

    mode: Literal["mirror", "deny"] = "deny"
    hide: tuple[str, ...] = ()


class AccessSpec(Closed):
    """The builder's policy. An object that is neither named nor matched by "*" is denied."""

    objects: Mapping[str, ObjectPolicy] = Field(default_factory=dict)
    providers: Mapping[str, Mapping[str, ObjectPolicy]] = Field(default_factory=dict)


class IntegrationSpec(Closed):
    """firnline.yaml: what the builder ships to every tenant."""

    version: Literal[1]
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    description: str = ""
    objects: Mapping[ObjectName, ObjectSpec] = Field(min_length=1)
    sync: SyncSpec = SyncSpec()
    access: AccessSpec


class ConnectionSpec(Closed):
    """One of the tenant's systems. `settings` are those that the connector declares."""

    provider: str
    settings: Mapping[str, str] = Field(default_factory=dict)


class TenantMapping(Closed):
    """How this tenant differs: another source object, other fields, other values."""

    connection: str | None = None
    object: str | None = None
    where: Mapping[SourcePath, Mapping[str, Any]] | None = None
    fields: Mapping[FieldName, FieldMapping] = Field(default_factory=dict)


class TenantSpec(Closed):
    """tenants/<tenant>.yaml. Access overrides may narrow, never widen."""

    tenant: TenantName
    name: str = ""
    connections: Mapping[Name, ConnectionSpec] = Field(min_length=1)
    mappings: Mapping[ObjectName, TenantMapping] = Field(default_factory=dict)
    access: AccessSpec = AccessSpec()
    sync: SyncSpec | None = None


class Project(BaseModel):
    """A loaded and checked directory: the integration and all its tenants."""

    model_config = ConfigDict(frozen=True)

    integration: IntegrationSpec
    tenants: Mapping[str, TenantSpec]
