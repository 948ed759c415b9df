"""From the tenant's fields to the builder's: mappings as expressions of the plan.

Takes the spec's field mappings and a resolver of source paths; the graph's scans receive typed
expressions. A mapping that names what the tenant does not have is an error with near matches.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from firnline.cache.query import Bound, Call, Case, Expression, all_of
from firnline.catalog.conditions import COLUMN_TYPES, bound, coerced, condition
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, ScalarName
from firnline.errors import FirnlineError
from firnline.spec.effective import EffectiveMapping
from firnline.spec.model import (
    BuilderType,
    Constant,
    FieldMapping,
    FirstOf,
    FromField,
    FromTags,
    Scalar,
    When,
)

PATH_STEPS_MAX = 4


class MappingError(FirnlineError):
    """A mapping names an object or field that discovery did not find."""

    code = "mapping_broken"
    exit_code = 2


class PathResolver(Protocol):
    """Turns a source path into an expression: one scan, as one person may see it."""

    def raw(self, path: str) -> tuple[Expression, FieldInfo]:
        """Return the value at `path` and the field it ends in."""
        ...


def scalar_of(declared: BuilderType) -> ScalarName:
    """Return the catalog type that holds a builder's type."""
    return "string" if declared == "enum" else declared


def source_paths(mapping: FieldMapping) -> tuple[str, ...]:
    """Return every source path that a mapping reads."""
    match mapping:
        case FromField():
            return (mapping.from_,)
        case FromTags():
            return (mapping.tags,)
        case When():
            return tuple(mapping.when)
        case FirstOf():
            return mapping.first_of
        case Constant():
            return ()


def mapped(
    mapping: FieldMapping, target: ScalarName, resolver: PathResolver, now: datetime
) -> Expression:
    """Return the builder's field as an expression of type `target`."""
    match mapping:
        case FromField():
            return _from_field(mapping, target, resolver, now)
        case FromTags():
            tags, _ = resolver.raw(mapping.tags)
            branches = [
                (Call("list_has", (tags, Bound(tag, "VARCHAR"))), bound(word, target, now))
                for tag, word in mapping.values.items()
            ]
            return Case(tuple(branches), _otherwise(mapping.otherwise, target, now))
        case When():
            holds = conditions(mapping.when, resolver, now)
            true, false = Bound(True, "BOOLEAN"), Bound(False, "BOOLEAN")
            return coerced(Case(((holds, true),), false), "bool", target)
        case Constant():
            return bound(mapping.constant, target, now)
        case FirstOf():
            sources = [resolver.raw(path) for path in mapping.first_of]
            values = tuple(coerced(value, field.type, target) for value, field in sources)
            return Call("coalesce", values) if len(values) > 1 else values[0]


def conditions(
    wanted: Mapping[str, Mapping[str, object]], resolver: PathResolver, now: datetime
) -> Expression:
    """Return the conjunction of {source path: {operator: value}}."""
    found = []
    for path, operators in wanted.items():
        value, field = resolver.raw(path)
        found += [
            condition(value, field.type, operator, operand, now)
            for operator, operand in operators.items()
        ]
    return all_of(found)


def _from_field(
    mapping: FromField, target: ScalarName, resolver: PathResolver, now: datetime
) -> Expression:
    value, field = resolver.raw(mapping.from_)
    if not mapping.values:
        return coerced(value, field.type, target)
    text = coerced(value, field.type, "string")
    branches = [
        (Call("eq", (text, Bound(stored, "VARCHAR"))), bound(word, target, now))
        for stored, word in mapping.values.items()
    ]
    if mapping.otherwise == "keep":
        return Case(tuple(branches), coerced(value, field.type, target))
    if mapping.otherwise is not None:
        # A null source stays null: "otherwise" speaks of values that are not listed.
        branches.insert(0, (Call("is_null", (text,)), Bound(None, COLUMN_TYPES[target])))
    return Case(tuple(branches), _otherwise(mapping.otherwise, target, now))


def _otherwise(word: Scalar | None, target: ScalarName, now: datetime) -> Expression | None:
    return None if word is None else bound(word, target, now)


def path_steps(owner: ObjectInfo, path: str) -> Sequence[str]:
    """Return the references and the last field of a path; a field's own name may hold dots."""
    return (path,) if path in owner.by_name else path.split(".")


def find_path(catalog: Catalog, object_name: str, path: str) -> FieldInfo:
    """Return the field at the end of `path`; raises MappingError naming near matches."""
    found = catalog.by_name.get(object_name)
    if found is None:
        raise MappingError(
            f"{catalog.provider} has no object {object_name!r} on this connection",
            hint=_near(object_name, catalog.by_name),
        )
    *references, last = path_steps(found, path)
    for step in references:
        found = _target(catalog, found, _field(found, step))
    return _field(found, last)


def _field(owner: ObjectInfo, name: str) -> FieldInfo:
    field = owner.by_name.get(name)
    if field is None:
        labels = {each.label.casefold(): each.name for each in owner.fields if each.label}
        same_label = labels.get(name.casefold())
        hint = f"The field labelled {name!r} is {same_label}." if same_label else ""
        raise MappingError(
            f"{owner.name} has no field {name!r}", hint=hint or _near(name, owner.by_name)
        )
    return field


def _target(catalog: Catalog, owner: ObjectInfo, field: FieldInfo) -> ObjectInfo:
    targets = field.reference.targets if field.reference else ()
    known = [catalog.by_name[name] for name in targets if name in catalog.by_name]
    if len(known) != 1:
        raise MappingError(
            f"{owner.name}.{field.name} does not lead to exactly one known object",
            hint="A path may only pass through references with one target.",
        )
    return known[0]


def _near(name: str, candidates: Iterable[str]) -> str:
    folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    if not close:
        return "Run `firnline discover TENANT` to see what there is."
    return f"Did you mean {' or '.join(folded[match] for match in close)}?"


def mapping_problems(
    mappings: Mapping[str, EffectiveMapping], catalogs: Mapping[str, Catalog]
) -> list[MappingError]:
    """Return one error for every mapped path that the tenant's catalogs do not have."""
    problems = []
    for mapping in mappings.values():
        catalog = catalogs.get(mapping.connection)
        if catalog is None:
            continue
        places = {
            f"{mapping.object}.{name}": source_paths(each) for name, each in mapping.fields.items()
        }
        places[f"{mapping.object}.where"] = tuple(mapping.where)
        for place, paths in places.items():
            for path in paths:
                try:
                    find_path(catalog, mapping.source, path)
                except MappingError as error:
                    located = f"{place} <- {mapping.connection}.{mapping.source}.{path}"
                    problems.append(MappingError(f"{located}: {error.message}", hint=error.hint))
    return problems
