"""Reads a project directory: firnline.yaml and tenants/*.yaml -> a checked `Project`.

Takes a directory; every command, sync, access and graph receive the project. Either the whole
directory is right or a SpecError lists every problem in it: nothing is half loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from firnline.connectors.manifest import Manifest
from firnline.connectors.registry import connector_folders, load_manifest
from firnline.spec.branding import LOGO_KINDS, logo_problem
from firnline.spec.check import check_integration, check_tenant_spec
from firnline.spec.document import Document, read_document
from firnline.spec.model import IntegrationSpec, Project, TenantSpec
from firnline.spec.problems import Problem, SpecError
from firnline.spec.validate import Model, validated

INTEGRATION_FILE = "firnline.yaml"
TENANTS_FOLDER = "tenants"
TENANTS_MAX = 10_000


class RegisteredProviders(Mapping[str, Manifest]):
    """The manifests of all registered connectors, each read when it is first asked for."""

    def __getitem__(self, provider: str) -> Manifest:
        """Return the manifest; raises KeyError for an unknown provider."""
        if provider not in connector_folders():
            raise KeyError(provider)
        return load_manifest(provider)

    def __contains__(self, provider: object) -> bool:
        """Say whether a connector folder has that name, without reading it."""
        return provider in connector_folders()

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the connector folders."""
        return iter(connector_folders())

    def __len__(self) -> int:
        """Return the number of connector folders."""
        return len(connector_folders())


def load_project(directory: Path, *, providers: Mapping[str, Manifest] | None = None) -> Project:
    """Return the project in `directory`; raises SpecError with every problem found.

    `providers` are the connectors that connections may name: the registered ones when absent.
    """
    known = RegisteredProviders() if providers is None else providers
    problems: list[Problem] = []
    _require(directory)
    integration = _integration(directory, known, problems)
    tenants: dict[str, TenantSpec] = {}
    for path in _tenant_files(directory, problems):
        tenant = _tenant(path, integration, known, problems)
        if tenant is not None:
            tenants[tenant.tenant] = tenant
    if problems or integration is None:
        raise SpecError(problems)
    return Project(integration=integration, tenants=tenants)


def _require(directory: Path) -> None:
    """Refuse a place that is no project at all, with the way to make one."""
    hint = f"`firnline init {_shown(str(directory))}` writes a commented starting point."
    try:
        is_directory = directory.is_dir()
        has_integration = is_directory and _stands_in(directory, INTEGRATION_FILE)
    except (OSError, ValueError):
        is_directory = has_integration = False
    if not is_directory:
        message = f"there is no directory {_shown(str(directory))}"
        raise SpecError([Problem(INTEGRATION_FILE, 1, 1, "no_project", message, hint)])
    if not has_integration:
        message = f"{_shown(str(directory))} holds no {INTEGRATION_FILE}"
        if _stands_in(directory, "firnline.yml"):
            hint = "Rename firnline.yml to firnline.yaml."
        raise SpecError([Problem(INTEGRATION_FILE, 1, 1, "no_project", message, hint)])


def _stands_in(directory: Path, name: str) -> bool:
    path = directory / name
    return path.exists() or path.is_symlink()


def _integration(
    directory: Path, providers: Mapping[str, Manifest], problems: list[Problem]
) -> IntegrationSpec | None:
    found = _read(directory / INTEGRATION_FILE, INTEGRATION_FILE, IntegrationSpec, problems)
    if found is None:
        return None
    integration, document = found
    problems += check_integration(integration, document, providers=providers)
    problems += _logo(directory, integration, document)
    return integration


def _logo(directory: Path, integration: IntegrationSpec, document: Document) -> Iterator[Problem]:
    """Yield what keeps a logo that is a file from being shown."""
    branding = integration.branding
    if not branding.logo or branding.is_logo_elsewhere:
        return
    wrong = logo_problem(directory, branding.logo)
    if wrong:
        line, column = document.place(("branding", "logo"), value=True)
        hint = f"Name a {LOGO_KINDS} file below {INTEGRATION_FILE}, or an https address."
        yield Problem(document.file, line, column, "logo", wrong, hint)


def _tenant_files(directory: Path, problems: list[Problem]) -> list[Path]:
    """Return the tenants' files in order of name; a file that would be overlooked is a problem."""
    folder = directory / TENANTS_FOLDER
    try:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        message = f"{TENANTS_FOLDER}/ cannot be read: {error.strerror}"
        problems.append(Problem(TENANTS_FOLDER, 1, 1, "unreadable", message))
        return []
    files = [path for path in entries if path.suffix == ".yaml" and path.name[0] != "."]
    for path in entries:
        if path.suffix in (".yml", ".json"):
            name = f"{TENANTS_FOLDER}/{_shown(path.name)}"
            hint = f"Rename it to {_shown(path.stem)}.yaml."
            message = "a tenant's file ends in .yaml; this one would be overlooked"
            problems.append(Problem(name, 1, 1, "file_ending", message, hint))
    if len(files) > TENANTS_MAX:
        message = f"{len(files)} tenants are over the limit of {TENANTS_MAX}"
        problems.append(Problem(TENANTS_FOLDER, 1, 1, "too_many", message))
    return files[:TENANTS_MAX]


def _tenant(
    path: Path,
    integration: IntegrationSpec | None,
    providers: Mapping[str, Manifest],
    problems: list[Problem],
) -> TenantSpec | None:
    found = _read(path, f"{TENANTS_FOLDER}/{_shown(path.name)}", TenantSpec, problems)
    if found is None or integration is None:
        return None
    tenant, document = found
    problems += check_tenant_spec(integration, tenant, document, providers=providers)
    return tenant


def _read(
    path: Path, name: str, model: type[Model], problems: list[Problem]
) -> tuple[Model, Document] | None:
    """Return the model in a file with its document; its problems are added and give None."""
    try:
        document = read_document(path, name)
        return validated(model, document), document
    except SpecError as error:
        problems += error.problems
        return None


def _shown(name: str) -> str:
    """Return a file name that cannot disturb a terminal or a log."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in name)
