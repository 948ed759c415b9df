"""Finds connectors: a folder with connector.yaml and connector.py is all it takes.

Looked up in the repository's `connectors/` when running from a checkout, in the installed wheel
otherwise, and in every directory of the FIRNLINE_CONNECTORS path.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import yaml
from pydantic import ValidationError

from firnline.connectors.manifest import Manifest
from firnline.connectors.protocol import Connector
from firnline.errors import FirnlineError, UsageError


class UnknownProviderError(UsageError):
    """No connector folder answers to that provider name."""

    code = "unknown_provider"

    def __init__(self, provider: str, known: list[str]) -> None:
        super().__init__(
            f"there is no connector for provider {provider!r}",
            hint=f"Known providers: {', '.join(sorted(known)) or 'none'}.",
        )


class ConnectorError(FirnlineError):
    """A connector folder is broken: unreadable manifest, or no Connector class in it."""

    code = "connector_broken"
    exit_code = 2


class ConnectorsPathError(UsageError):
    """FIRNLINE_CONNECTORS names a directory that is not there."""

    code = "connectors_path"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"FIRNLINE_CONNECTORS names {str(path)!r}, which is not a directory",
            hint="Name directories that hold connector folders, separated by colons, or unset it.",
        )


def connector_roots() -> list[Path]:
    """Return the directories that hold connector folders, the nearest first.

    Raises ConnectorsPathError: a mistyped path would make its connectors unknown providers, or let
    the bundled ones of the same name take their place.
    """
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1] / "connectors"
    bundled = package / "_bundled" / "connectors"
    extra = [Path(part) for part in os.environ.get("FIRNLINE_CONNECTORS", "").split(":") if part]
    for root in extra:
        if not root.is_dir():
            raise ConnectorsPathError(root)
    own = checkout if (package.parents[1] / "pyproject.toml").is_file() else bundled
    return [*extra, own]


def bundled_schema_dir() -> Path:
    """Return the directory of the generated JSON Schemas."""
    root = connector_roots()[-1]
    return root.parent / "schema"


def connector_folders() -> Mapping[str, Path]:
    """Return the folder of each provider, by provider name."""
    found: dict[str, Path] = {}
    for root in connector_roots():
        for declared in sorted(root.glob("*/connector.yaml")):
            found.setdefault(declared.parent.name, declared.parent)
    return found


def _package(folder: Path) -> str:
    """Register `folder` as package firnline_connectors.<provider>; return that name.

    A package, so that a connector split over several modules imports its siblings the plain way
    (`from .suiteql import parse`), wherever the folder lies.
    """
    root = "firnline_connectors"
    qualified = f"{root}.{folder.name}"
    for name, paths in ((root, []), (qualified, [str(folder)])):
        if name not in sys.modules:
            package = ModuleType(name)
            package.__path__ = paths
            sys.modules[name] = package
    return qualified


def _load(folder: Path, name: str) -> ModuleType:
    """Import `folder/name.py` as firnline_connectors.<provider>.<name>, once."""
    if not (folder / f"{name}.py").is_file():
        raise ConnectorError(f"{folder.name}/{name}.py does not exist")
    try:
        return importlib.import_module(f"{_package(folder)}.{name}")
    except ConnectorError:
        raise
    except Exception as error:  # whatever somebody's module raises while it is imported
        raise ConnectorError(
            f"{folder.name}/{name}.py cannot be imported: {type(error).__name__}: {error}",
            hint=f"Look at {_place(error, folder)}.",
        ) from error


def _place(error: Exception, folder: Path) -> str:
    """Return the line of the connector's own code at which an error arose."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else str(folder)


def load_module(provider: str, name: str) -> ModuleType:
    """Return module `name` of the folder of `provider`."""
    return _load(_folder(provider), name)


def _folder(provider: str) -> Path:
    folders = connector_folders()
    if provider not in folders:
        raise UnknownProviderError(provider, list(folders))
    return folders[provider]


@cache
def load_manifest(provider: str) -> Manifest:
    """Return the validated connector.yaml of `provider`."""
    declared = _folder(provider) / "connector.yaml"
    try:
        manifest = Manifest.model_validate(yaml.safe_load(declared.read_text("utf-8")))
    except ValidationError as error:
        problems = "; ".join(_problems(error))
        raise ConnectorError(
            f"{provider}/connector.yaml is not valid: {problems}", hint=f"Correct {declared}."
        ) from error
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConnectorError(f"{provider}/connector.yaml cannot be read: {error}") from error
    if manifest.provider != provider:
        raise ConnectorError(f"{provider}/connector.yaml names provider {manifest.provider!r}")
    return manifest


def _problems(error: ValidationError) -> Iterator[str]:
    """Yield each mistake of a manifest with the keys that lead to it."""
    for wrong in error.errors(include_url=False, include_input=False, include_context=False):
        keys = ".".join(str(key) for key in wrong["loc"])
        message = wrong["msg"].removeprefix("Value error, ")
        yield f"{keys}: {message}" if keys else message


@cache
def load_connector(provider: str) -> Connector:
    """Return the connector of `provider`; raises UnknownProviderError or ConnectorError."""
    module = _load(_folder(provider), "connector")
    classes = [
        found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, Connector)
        and found.__module__ == module.__name__
    ]
    if len(classes) != 1 or classes[0].provider != provider:
        raise ConnectorError(f"{provider}/connector.py must hold one Connector for {provider!r}")
    if missing := sorted(classes[0].__abstractmethods__):
        raise ConnectorError(
            f"{provider}/connector.py: {classes[0].__name__} does not define {', '.join(missing)}"
        )
    return classes[0](load_manifest(provider))


def load_sandbox_module(provider: str) -> ModuleType:
    """Return the sandbox module of `provider` (its `create` builds the sandbox)."""
    return _load(_folder(provider), "sandbox")


def registered() -> Iterator[Connector]:
    """Yield every registered connector, in order of name."""
    for provider in sorted(connector_folders()):
        yield load_connector(provider)
