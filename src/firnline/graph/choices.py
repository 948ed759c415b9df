"""Choices: the values that a field takes, with the labels that people know them by.

Takes picklists of a catalog and the builder's words; descriptions show the first of them, `_values`
suggests from all.
"""

from __future__ import annotations

from collections.abc import Sequence

from firnline.catalog.mapping import path_steps
from firnline.catalog.model import EnumValue, ObjectInfo
from firnline.spec.model import FieldMapping, FromField

_SHOWN_MAX = 12


def choices_of(
    mapping: FieldMapping, words: Sequence[str], source: ObjectInfo
) -> tuple[EnumValue, ...]:
    """Return what a builder's field can be: its words, or the source's values where it has none.

    A word is labelled as the source labels the values that it stands for.
    """
    stored = _stored(mapping, source)
    if not isinstance(mapping, FromField) or not mapping.values:
        return tuple(EnumValue(value=word) for word in words) or stored
    labels: dict[str, list[str]] = {str(word): [] for word in mapping.values.values()}
    for each in stored:
        word = mapping.values.get(each.value)
        if word is not None:
            labels[str(word)].append(each.label or each.value)
    found = {word: EnumValue(value=word, label=", ".join(of)) for word, of in labels.items()}
    if words:
        return tuple(found.get(word, EnumValue(value=word)) for word in words)
    kept = (each for each in stored if each.value not in mapping.values)
    return (*found.values(), *(kept if mapping.otherwise == "keep" else ()))


def choices_text(choices: Sequence[EnumValue], *, is_closed: bool) -> str:
    """Return one sentence with the first choices in use, empty when there are none."""
    active = [each for each in choices if each.active]
    if not active:
        return ""
    shown = ", ".join(map(_shown, active[:_SHOWN_MAX]))
    rest = len(active) - _SHOWN_MAX
    more = f" and {rest} more" if rest > 0 else ""
    return f"{'One of' if is_closed else 'Known values'}: {shown}{more}."


def suggested(choices: Sequence[EnumValue], text: str, first: int) -> list[EnumValue]:
    """Return the choices that hold `text` in value or label, in any case; beginnings come first."""
    wanted = text.strip().casefold()

    def rank(each: EnumValue) -> tuple[bool, bool]:
        starts = any(word.casefold().startswith(wanted) for word in (each.value, each.label))
        return not starts, not each.active

    found = [
        each
        for each in choices
        if wanted in each.value.casefold() or wanted in each.label.casefold()
    ]
    return sorted(found, key=rank)[:first]


def _stored(mapping: FieldMapping, source: ObjectInfo) -> tuple[EnumValue, ...]:
    if not isinstance(mapping, FromField):
        return ()
    steps = path_steps(source, mapping.from_)
    field = source.by_name.get(steps[0]) if len(steps) == 1 else None
    return () if field is None else field.values


def _shown(each: EnumValue) -> str:
    is_labelled = each.label and each.label.casefold() != each.value.casefold()
    return f'{each.value} ("{each.label}")' if is_labelled else each.value
