"""Node packages for tests, installed once per lock file into the temporary directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL_MAX_S = 240


def installed(folder: Path) -> Path:
    """Return a copy of `folder` with the packages of its lock file; skips where there is no npm.

    With CI=true nothing is skipped: what cannot be installed fails the test.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        _miss("this test needs node and npm")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"firnline-node-{os.getuid()}" / digest
    if target.is_dir():
        return target
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        fresh = Path(made) / "packages"
        shutil.copytree(folder, fresh)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_MAX_S, check=False
        )
        if done.returncode:
            _miss(f"npm cannot install the packages: {done.stderr.strip().splitlines()[-1:]}")
        if not target.exists():
            fresh.rename(target)
    return target


def _miss(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
