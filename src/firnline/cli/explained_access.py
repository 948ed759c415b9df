"""An explained right as a tree for a terminal: who decides, what gives or takes, rule by rule.

Takes what `AccessExplainer` tells; `firnline access explain` prints the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from firnline.graph.explain.own_access import value_words


def show_access(console: Console, facts: Mapping[str, Any]) -> None:
    """Print why a person may read an object, a field and a record, or may not."""
    verdict = "may read" if facts["readable"] else "may not read"
    root = Tree(f"[bold]{escape(facts['person'])}[/] {verdict} [bold]{escape(facts['object'])}[/]")
    root.add(escape(f"source: {facts['source']} as user {facts['user'] or 'nobody'}"))
    if facts["reason"]:
        root.add(escape(f"refused by {facts['decidedBy']}: {facts['reason']}"))
    _grow_grounds(root, "rights to the object", facts["because"])
    rows = root.add(escape(f"records: {facts['rows']}"))
    if facts["why"]:
        rows.add(escape(facts["why"]))
    checked = facts["checkedAtSource"]
    if checked is not None:
        rows.add(escape(f"{checked['reason']}; what it says counts for {checked['countsFor']}"))
    narrowed = "narrows the records further" if facts["isNarrowedByPolicy"] else "adds nothing"
    root.add(escape(f"policy: mode {facts['mode']}, {narrowed}"))
    _grow_verbs(root, facts["verbs"])
    for verb, values in facts["presets"].items():
        told = ", ".join(f"{name} to {value}" for name, value in values.items())
        root.add(escape(f"{verb} sets {told}"))
    if "field" in facts:
        _grow_field(root, facts["field"])
    if "record" in facts:
        _grow_record(root, facts["record"])
    ages = root.add(f"permissions: oldest of {facts['readAt'] or 'never'}")
    for name, stamp in facts["ages"].items():
        ages.add(escape(f"{name}: {stamp or 'never read in full'}"))
    console.print(root)


def _grow_field(root: Tree, facts: Mapping[str, Any]) -> None:
    state = "readable"
    if not facts["readable"]:
        state = f"withheld by {facts['decidedBy']}: {facts['reason']}"
    elif "mask" in facts:
        state = facts["mask"]
    branch = root.add(escape(f"field {facts['name']}: {state}"))
    _grow_grounds(branch, "rights to it", facts.get("because", ()))
    _grow_verbs(branch, facts.get("verbs", {}))


def _grow_verbs(tree: Tree, verbs: Mapping[str, str | None]) -> None:
    if not verbs:
        return
    allowed = [verb for verb, reason in verbs.items() if reason is None]
    branch = tree.add(f"may {', '.join(allowed) or 'do nothing'}")
    for verb, reason in verbs.items():
        if reason is not None:
            branch.add(escape(f"may not {verb}: {reason}"), style="dim")


def _grow_record(root: Tree, facts: Mapping[str, Any]) -> None:
    if not facts["exists"]:
        root.add(escape(f"record {facts['key']}: there is none in the cache"))
        return
    state = "visible" if facts["visible"] else "not visible"
    source = "shows it" if facts["visibleAtSource"] else "does not show it"
    branch = root.add(escape(f"record {facts['key']}: {state}; the source {source}"))
    if facts["why"]:
        branch.add(escape(facts["why"]))
    for each in facts["rules"]:
        _grow_rule(branch, each)


def _grow_rule(tree: Tree, facts: Mapping[str, Any]) -> None:
    sign = "[green]yes[/]" if facts["holds"] else "[dim]no[/]"
    where = f"{facts['record']}: " if "record" in facts else ""
    branch = tree.add(f"{sign} {escape(where + (facts['why'] or facts['rule']))}")
    if facts["why"]:
        branch.add(escape(facts["rule"]), style="dim")
    for each in facts.get("because", ()):
        branch.add(escape(value_words(each)), style="cyan")
    for each in facts.get("parts", ()):
        _grow_rule(branch, each)


def _grow_grounds(tree: Tree, title: str, grounds: Sequence[Mapping[str, str]]) -> None:
    if not grounds:
        return
    branch = tree.add(title)
    for each in grounds:
        within = f" in {each['within']}" if "within" in each else ""
        branch.add(
            escape(f"{each['kind']} {each['name']!r}{within} {each['effect']} {each['right']}")
        )
