"""Turns a Document into a spec model, and pydantic's findings into problems with a place.

Takes a document and the model it should be; `spec.load` receives the model or the problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from firnline.spec.document import Document, YamlPath
from firnline.spec.problems import Problem, SpecError, near, quoted

Model = TypeVar("Model", bound=BaseModel)

# pydantic's error types -> our code and the sentence; {ctx} names come from pydantic.
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "string_type": ("wrong_type", "must be text"),
    "bool_type": ("wrong_type", "must be true or false"),
    "int_type": ("wrong_type", "must be a whole number"),
    "float_type": ("wrong_type", "must be a number"),
    "tuple_type": ("wrong_type", "must be a list"),
    "mapping_type": ("wrong_type", "must be a mapping of keys to values"),
    "dict_type": ("wrong_type", "must be a mapping of keys to values"),
    "model_type": ("wrong_type", "must be a mapping of keys to values"),
    "model_attributes_type": ("wrong_type", "must be a mapping of keys to values"),
    "union_tag_not_found": (
        "mapping_kind",
        "must be a source field, or hold one of: from, tags, when, constant, first_of",
    ),
    "literal_error": ("wrong_value", "must be {expected}"),
    "too_short": ("too_few", "must hold at least {min_length}"),
    "too_long": ("too_many", "must hold at most {max_length}"),
    "string_too_short": ("too_few", "must not be empty"),
}
_SCALARS = frozenset({"str", "int", "float", "bool"})
# The patterns of the model, in words.
_PATTERNS: Mapping[str, str] = {
    r"^[^\x00-\x1f\x7f]{0,80}$": "must be one line of up to 80 characters",
    r"^(#[0-9a-fA-F]{6})?$": 'must be a colour such as "#0f6c9c"',
    r"^(https://[^\s\\]{1,500}|[^\s:\\]{1,200})?$": "must be a file's path, or an https address",
    r"^(https://[^\s\\]{1,500}|mailto:[^\s?]{1,200}@[^\s?]{1,200})?$": (
        "must be an https or mailto address"
    ),
    r"^[A-Za-z][A-Za-z0-9]{0,62}$": "must be letters and digits, a letter first",
    r"^[A-Z][A-Za-z0-9]{0,62}$": "must be letters and digits, a capital letter first",
    r"^[a-z][A-Za-z0-9]{0,62}$": "must be letters and digits, a small letter first",
    r"^[a-z][a-z0-9-]{0,62}$": "must be small letters, digits and dashes, a letter first",
    r"^[a-z][a-z0-9_-]{0,62}$": "must be small letters, digits, _ and -, a letter first",
    r"^[^\s\x00-\x1f\x7f]{1,200}$": "must be one word of up to 200 characters",
    r"^\S{1,200}$": "must be one word of up to 200 characters",
    r"^([A-Za-z_][A-Za-z0-9_]*\*?|\*)$": "must be a type such as Account, or Crm_* for all alike",
    r"^[^\s@]{1,64}@[^\s@]{1,189}$": "must be an e-mail address",
    r"^[^\x00-\x1f\x7f]{1,200}$": "must be a user's key or e-mail address at the provider",
    r"^[^\s.]+(\.[^\s.]+){0,3}$": "must be a field, or up to four names joined by dots",
    r"^[1-9][0-9]*(m|h|d)$": "must be a number of minutes, hours or days, such as 15m",
    r"^([1-9][0-9]{0,2}s|[1-9]m|10m)$": "must be seconds or up to ten minutes, such as 60s",
    r"^[1-9][0-9]{0,4}(m|h|d)$": "must be a number of minutes, hours or days, such as 24h",
}


def validated(model: type[Model], document: Document) -> Model:
    """Return `document` as `model`; raises SpecError with every problem found."""
    if not isinstance(document.root, Mapping):
        found = "empty" if document.root is None else "not a mapping"
        hint = "A spec begins with keys such as `version: 1`; `firnline init DIR` writes one."
        message = f"{document.file} is {found}"
        raise SpecError([Problem(document.file, 1, 1, "not_a_mapping", message, hint)])
    try:
        return model.model_validate(document.root)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise SpecError(_problems(model, document, details)) from error


def _problems(
    model: type[BaseModel], document: Document, details: Iterable[ErrorDetails]
) -> Iterator[Problem]:
    """Yield one problem per place and code: a union reports once for each of its members."""
    seen: set[tuple[YamlPath, str]] = set()
    for detail in details:
        path, about_key = _path_in(document, detail["loc"])
        problem = _problem(model, document, detail, path, about_key=about_key)
        if (path, problem.code) not in seen:
            seen.add((path, problem.code))
            yield problem


def _path_in(document: Document, location: tuple[int | str, ...]) -> tuple[YamlPath, bool]:
    """Return the part of pydantic's location that stands in the file, and whether it is a key."""
    if location and location[-1] == "[key]":
        return location[:-1], True
    path: YamlPath = ()
    for step in location:
        # Tags of unions stand in locations, too; they are not in the file.
        if (*path, step) in document.values:
            path = (*path, step)
    return path, False


def _problem(
    model: type[BaseModel],
    document: Document,
    detail: ErrorDetails,
    path: YamlPath,
    *,
    about_key: bool,
) -> Problem:
    kind = detail["type"]
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "missing":
        line, column = document.place(path)
        message = f"{quoted(name)} is missing{_named(' in ', path)}"
        return Problem(document.file, line, column, "missing_key", message)
    if kind == "extra_forbidden":
        line, column = document.place(path)
        message = f"{quoted(name)} is not a key{_named(' of ', path[:-1])}"
        hint = near(name, _keys_at(model, path[:-1]), what="keys")
        if detail["input"] is None:
            # {description: First, second} reads as two keys, the second without a value.
            hint += " Inside { } quote a text that holds a comma."
        return Problem(document.file, line, column, "unknown_key", message, hint)
    code, sentence = _sentence(detail)
    line, column = document.place(path, value=not about_key)
    subject = f"the name {quoted(path[-1])}" if about_key else _subject(path)
    hint = _type_hint(detail)
    return Problem(document.file, line, column, code, f"{subject} {sentence}", hint)


def _sentence(detail: ErrorDetails) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if detail["loc"] and detail["loc"][-1] in _SCALARS and kind.endswith("_type"):
        return "wrong_type", "must be text, a number, true or false"
    if kind == "string_pattern_mismatch":
        words = _PATTERNS.get(context["pattern"], "has a form that is not allowed")
        return "wrong_form", words
    if kind in _SENTENCES:
        code, sentence = _SENTENCES[kind]
        return code, sentence.format(**context)
    return "wrong_value", f"is not valid: {detail['msg']}"


def _type_hint(detail: ErrorDetails) -> str:
    """Explain what YAML made of a value that looks like text."""
    found = detail["input"]
    if detail["type"] == "string_type" and isinstance(found, bool | int | float):
        return "Quote it to make it text."
    if detail["type"] == "string_type" and found is None:
        return "The value is empty."
    if detail["type"] in ("bool_type", "int_type") and isinstance(found, str):
        return f"It is the text {quoted(found)}."
    return ""


def _subject(path: YamlPath) -> str:
    if not path:
        return "the file"
    if isinstance(path[-1], int):
        return f"item {path[-1] + 1} of {quoted(path[-2])}" if len(path) > 1 else "an item"
    return quoted(path[-1])


def _named(preposition: str, path: YamlPath) -> str:
    """Return the preposition with the path, nothing for the file as a whole."""
    return f"{preposition}{quoted(_dotted(path))}" if path else ""


def _dotted(path: YamlPath) -> str:
    return ".".join(str(step) for step in path)


def _keys_at(model: type[BaseModel], path: YamlPath) -> list[str]:
    """Return the keys that the models at `path` know."""
    kinds: list[Any] = [model]
    for step in path:
        kinds = [inner for kind in kinds for inner in _below(kind, step)]
    return [
        field.alias or name
        for kind in kinds
        if _is_model(kind)
        for name, field in kind.model_fields.items()
    ]


def _below(kind: Any, step: str | int) -> Iterator[Any]:
    """Yield the types that a value at `step` inside `kind` may have."""
    if _is_model(kind):
        for name, field in kind.model_fields.items():
            if (field.alias or name) == step:
                yield from _members(field.annotation)
    elif get_origin(kind) is not None and get_args(kind):
        yield from _members(get_args(kind)[-1 if isinstance(step, str) else 0])


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, whatever wraps them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
