"""connector.yaml, README and code: complete, safe to fill in, and without I/O."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from firnline.connections.site import UnknownAuthFlowError, site_at
from firnline.connectors.auth_flows import OAUTH, urls_of
from firnline.connectors.protocol import Connector
from firnline.connectors.registry import connector_folders, registered
from firnline.transport.address import AddressRefused, check_url

# A connector describes: time, files, sockets, threads and chance are the engine's.
FORBIDDEN_MODULES = {
    *("asyncio", "anyio", "trio", "concurrent", "threading", "multiprocessing", "subprocess"),
    *("aiohttp", "http", "httpx", "httpx2", "requests", "urllib3", "uvicorn", "ftplib", "smtplib"),
    *("socket", "ssl", "select", "signal", "os", "sys", "pathlib", "shutil", "tempfile", "sqlite3"),
    *("random", "secrets", "time"),
}
FORBIDDEN_CALLS = frozenset({"open", "print", "input", "exec", "eval", "__import__"})
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})
HOSTILE_SETTINGS = (
    "",
    "evil.example/x",
    "someone@evil.example",
    "a#b",
    "a?b",
    "a b",
    "a:1",
    "a\\b",
    "a%2fb",
    "acme\n",
    "../x",
    "a" * 300,
)


def folder_of(connector: Connector) -> Path:
    return connector_folders()[connector.provider]


def example_settings(connector: Connector) -> dict[str, str]:
    return {name: spec.example for name, spec in connector.manifest.settings.items()}


def modules_reached(folder: Path, start: str) -> dict[str, ast.Module]:
    """Return the modules of the folder that `start` is made of, itself included."""
    reached: dict[str, ast.Module] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        source = folder / f"{name}.py"
        if name in reached or not source.is_file():
            continue
        reached[name] = ast.parse(source.read_text("utf-8"))
        waiting += _siblings(reached[name])
    return reached


def _siblings(tree: ast.Module) -> list[str]:
    named = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            named += [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("load_"):
            named += [argument.value for argument in node.args if _is_text(argument)]
    return [name.split(".")[0] for name in named if name]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def imported(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports, absolute ones only."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module)
    return names


def test_some_connector_is_registered() -> None:
    assert list(registered())


def test_urls_of_the_manifest_lead_to_its_hosts_only(connector: Connector) -> None:
    manifest = connector.manifest
    filled = connector.derived_settings(example_settings(connector))
    hosts = [pattern.format_map(filled) for pattern in manifest.hosts]
    urls = [manifest.base_url, *(url for auth in manifest.auth for url in urls_of(auth))]
    for url in urls:
        check_url(url.format_map(filled), hosts)
    with pytest.raises(AddressRefused):
        check_url("https://evil.example/", hosts)


def test_everything_that_a_flow_sends_can_be_filled_in(connector: Connector) -> None:
    filled = connector.derived_settings(example_settings(connector))
    for auth in connector.manifest.auth:
        if not isinstance(auth, OAUTH):
            continue
        values = [*auth.scopes, *auth.token_parameters.values()]
        values += [getattr(auth, name, "") for name in ("audience", "issuer")]
        values += getattr(auth, "authorize_parameters", {}).values()
        for value in values:
            assert "{" not in value.format_map(filled)


def test_flow_that_is_chosen_is_one_of_the_connectors(connector: Connector) -> None:
    manifest = connector.manifest
    assert len(set(manifest.flows)) == len(manifest.flows)
    assert manifest.auth_by() is manifest.auth[0]
    assert [manifest.auth_by(flow) for flow in manifest.flows] == list(manifest.auth)
    assert manifest.auth_by("telepathy") is None
    with pytest.raises(UnknownAuthFlowError) as unknown:
        site_at("acme", "system", connector, example_settings(connector), flow="telepathy")
    assert all(flow in unknown.value.hint for flow in manifest.flows)


def test_settings_accept_their_example_and_nothing_that_changes_a_url(
    connector: Connector,
) -> None:
    assert connector.manifest.settings
    for setting in connector.manifest.settings.values():
        assert re.fullmatch(setting.pattern, setting.example)
        for hostile in HOSTILE_SETTINGS:
            # As the engine checks: whole value, no line break (`$` would let one through).
            accepted = re.fullmatch(setting.pattern, hostile) and "\n" not in hostile
            assert not accepted, hostile


def test_every_setting_is_used(connector: Connector) -> None:
    manifest = connector.manifest
    derived = connector.derived_settings(example_settings(connector))
    assert set(derived) >= set(manifest.settings)
    other = {name: f"{value}9" for name, value in example_settings(connector).items()}
    before, after = (
        manifest.base_url.format_map(connector.derived_settings(settings))
        for settings in (example_settings(connector), other)
    )
    assert before != after


def test_limits_and_scopes_are_stated(connector: Connector) -> None:
    limits = connector.manifest.limits
    assert 1 <= limits.concurrency_max <= 50
    assert 1 <= limits.page_size <= 10_000
    assert limits.overlap_s >= 0
    assert limits.pages_max > 0
    assert all(auth.scopes for auth in connector.manifest.auth if isinstance(auth, OAUTH))
    assert connector.manifest.docs_url.startswith("https://")
    assert connector.manifest.description.endswith(".")


def test_readme_names_the_provider_and_its_settings(connector: Connector) -> None:
    readme = (folder_of(connector) / "README.md").read_text("utf-8")
    assert connector.manifest.name in readme.splitlines()[0]
    for name in connector.manifest.settings:
        assert f"`{name}`" in readme, f"setting {name} is not explained"


def test_connector_does_no_io(connector: Connector) -> None:
    for name, tree in modules_reached(folder_of(connector), "connector").items():
        roots = {module.split(".")[0] for module in imported(tree)}
        assert not roots & FORBIDDEN_MODULES, name
        assert not {module for module in imported(tree) if module == "urllib.request"}, name
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") not in FORBIDDEN_CALLS, f"{name}:{node.lineno}"
                assert getattr(node.func, "attr", "") not in CLOCK_CALLS, f"{name}:{node.lineno}"


def test_connector_uses_only_what_it_is_given(connector: Connector) -> None:
    """Of Firnline it may import the contracts, not the engine."""
    allowed = (
        "firnline.access.grounds",
        "firnline.access.model",
        "firnline.catalog.model",
        "firnline.connectors",
        "firnline.errors",
    )
    for name, tree in modules_reached(folder_of(connector), "connector").items():
        for module in imported(tree):
            if module.split(".")[0] == "firnline":
                assert module.startswith(allowed), f"{name} imports {module}"


def test_sandbox_shares_no_code_with_the_connector(connector: Connector) -> None:
    """The sandbox is the witness of the connector: an error in shared code would go unseen."""
    folder = folder_of(connector)
    shared = set(modules_reached(folder, "connector")) & set(modules_reached(folder, "sandbox"))
    assert not shared
