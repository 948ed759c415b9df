"""The wheel holds everything: connectors, schemas, the demo's project, GraphiQL."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it, without this checkout, into an environment of its own."""
    built = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, ROOT)
    (wheel,) = built.glob("firnline-*.whl")
    environment = tmp_path_factory.mktemp("venv")
    _run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    # The dependencies are those of the lock file, already installed: lend them by path. A path
    # file is not read recursively, so the editable install of this checkout stays out.
    (site,) = environment.glob("lib/python3*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def test_wheel_runs_the_demo_in_an_empty_directory(installed: Path, tmp_path: Path) -> None:
    answered = _run(
        installed / "bin" / "firnline",
        *("demo", "--once", "--json", "--scale", "0.05", "--latency", "0-0"),
        cwd=tmp_path,
    )

    facts = orjson.loads(answered)
    assert set(facts["tenants"]) == {"acme", "globex"}
    assert facts["tenants"]["acme"]["people"]["rep"]["data"]["deals"]["nodes"]


def test_wheel_is_the_package_that_runs(installed: Path, tmp_path: Path) -> None:
    where = "import firnline; print(firnline.__file__)"
    printed = _run(installed / "bin" / "python", "-c", where, cwd=tmp_path)
    assert str(installed) in printed.decode()


def test_wheel_holds_schemas_connectors_and_pages(installed: Path) -> None:
    (package,) = installed.glob("lib/python3*/site-packages/firnline")
    assert {path.name for path in (package / "_bundled" / "connectors").iterdir()} >= {
        "salesforce",
        "zendesk",
        "netsuite",
    }
    assert list((package / "_bundled" / "schema").glob("*.schema.json"))
    static = ROOT / "src" / "firnline" / "web" / "static"
    served = {path.relative_to(static) for path in static.rglob("*") if path.is_file()}
    assert any(path.name.startswith("graphql.worker-") for path in served)
    held = package / "web" / "static"
    assert {path.relative_to(held) for path in held.rglob("*") if path.is_file()} == served


def _run(*command: object, cwd: Path | None = None) -> bytes:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return done.stdout
