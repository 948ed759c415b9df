"""Each rule of the mirrored permissions, broken on purpose: one small change of a connector's text.

Takes a mutant; for as long as a block runs, the connector decides by the changed text. The oracle
must notice each, or its structures do not reach that rule.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from firnline.connectors.registry import load_module


@dataclass(frozen=True)
class Mutant:
    """The rule that is broken, the module it stands in, its text and what replaces that."""

    rule: str
    module: str
    text: str
    instead: str


@contextmanager
def broken(provider: str, mutant: Mutant) -> Iterator[None]:
    """Let the connector decide by the changed text; a text that no longer stands there raises."""
    module = load_module(provider, mutant.module)
    source = inspect.getsource(module)
    assert source.count(mutant.text) == 1, f"{mutant.rule}: {source.count(mutant.text)} places"
    before = dict(vars(module))
    neighbours = [
        each
        for name, each in list(sys.modules.items())
        if name.startswith(f"firnline_connectors.{provider}.") and each is not module
    ]
    changed = compile(source.replace(mutant.text, mutant.instead), str(module.__file__), "exec")
    undone: list[tuple[ModuleType, str, Any]] = []
    try:
        exec(changed, vars(module))
        for each in neighbours:
            for name, value in list(vars(each).items()):
                if name in before and value is before[name] and value is not vars(module)[name]:
                    undone.append((each, name, value))
                    setattr(each, name, vars(module)[name])
        yield
    finally:
        vars(module).update(before)
        for each, name, value in undone:
            setattr(each, name, value)
