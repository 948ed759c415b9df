"""Installs what only this benchmark needs into a cache directory, once.

FIRNLINE_BENCH_CACHE names the directory; it is the user's cache otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

NODE_PACKAGES = {
    "mercurius": ("fastify@5", "graphql@16", "graphql-jit@0.8", "mercurius@16", "pg@8"),
    # PostGraphile needs a Node of its own: the package brings it.
    "postgraphile": ("node@22", "postgraphile@5"),
}
_INSTALL_MAX_S = 300
_INSTALL_TRIES = 2


def cache() -> Path:
    """Return the directory that keeps what was installed."""
    asked = os.environ.get("FIRNLINE_BENCH_CACHE")
    return Path(asked) if asked else Path.home() / ".cache" / "firnline-bench"


def python_packages(name: str) -> Path:
    """Return the directory of a wheel and what it needs, importable from now on."""
    target = cache() / "python" / name
    if not target.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), name]
        subprocess.run(command, check=True, timeout=_INSTALL_MAX_S)
    if str(target) not in sys.path:
        sys.path.append(str(target))
    return target


class PeerMissingError(RuntimeError):
    """What a peer needs cannot be installed here; the message tells what npm said."""


def node_packages(name: str) -> Path:
    """Return the directory whose node_modules hold the packages of one peer.

    Installs into a directory beside it and moves it into place in the end: an installation that
    was broken off leaves nothing that looks whole. Other versions wanted make a new installation.
    Raises PeerMissingError.
    """
    target = cache() / "npm" / name
    wanted = "\n".join(NODE_PACKAGES[name])
    mark = target / "installed"
    if mark.exists() and mark.read_text("utf-8") == wanted:
        return target
    if shutil.which("npm") is None:
        raise PeerMissingError("npm is missing: install Node 20 or newer")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as name_of_draft:
        draft = Path(name_of_draft) / name
        draft.mkdir()
        (draft / "package.json").write_text('{"private": true, "type": "module"}\n')
        _npm_install(draft, NODE_PACKAGES[name])
        (draft / "installed").write_text(wanted, "utf-8")
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    return target


def _npm_install(folder: Path, packages: Sequence[str]) -> None:
    """Install, once more after a failure: registries are slow at times."""
    said = ""
    for _ in range(_INSTALL_TRIES):
        try:
            done = subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages],
                check=False,
                cwd=folder,
                env=os.environ | {"NODE_ENV": "development"},
                capture_output=True,
                text=True,
                timeout=_INSTALL_MAX_S,
            )
        except subprocess.TimeoutExpired:
            said = f"npm took longer than {_INSTALL_MAX_S} s"
            continue
        if not done.returncode:
            return
        said = done.stderr.strip()
    raise PeerMissingError(f"npm install failed: {said[-500:]}")


def wrk() -> str | None:
    """Return the load generator's path, installing Debian's package where that is allowed."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "wrk"], check=False, capture_output=True)
    return shutil.which("wrk")
