"""Installs what only this benchmark needs into a cache directory, once.

FIRNLINE_BENCH_CACHE names the directory; it is the user's cache otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NODE_PACKAGES = {
    "mercurius": ("fastify@5", "graphql@16", "graphql-jit@0.8", "mercurius@16", "pg@8"),
    # PostGraphile needs a Node of its own: the package brings it.
    "postgraphile": ("node@22", "postgraphile@5"),
}
_INSTALL_MAX_S = 300


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


def node_packages(name: str) -> Path:
    """Return the directory whose node_modules hold the packages of one peer."""
    target = cache() / "npm" / name
    if not (target / "installed").exists():
        target.mkdir(parents=True, exist_ok=True)
        (target / "package.json").write_text('{"private": true, "type": "module"}\n')
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *NODE_PACKAGES[name]],
            cwd=target,
            check=True,
            timeout=_INSTALL_MAX_S,
        )
        (target / "installed").touch()
    return target


def wrk() -> str | None:
    """Return the load generator's path, installing Debian's package where that is allowed."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "wrk"], check=False, capture_output=True)
    return shutil.which("wrk")
