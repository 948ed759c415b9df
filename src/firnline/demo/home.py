"""The demo's own directory: state, caches and keys of one demo at a time, nobody else's.

Takes the directory that the command names; gives the settings that the demo's application opens.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from firnline.errors import UsageError
from firnline.settings import Settings

_MARK = "firnline-demo"


class DemoHomeError(UsageError):
    """The demo's directory holds something else, or another demo uses it."""

    code = "demo_home"


@contextmanager
def demo_home(home: Path, *, keep: bool) -> Iterator[Path]:
    """Give the directory, empty unless `keep`, for as long as the context lasts.

    What lies there is removed only when an earlier demo made it. Raises DemoHomeError.
    """
    mark = home / _MARK
    if home.exists() and not mark.exists() and (not home.is_dir() or any(home.iterdir())):
        raise DemoHomeError(
            f"{home} holds something that no demo made",
            hint="Name an empty directory with --home, or one that does not exist yet.",
        )
    with ExitStack() as stack:
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            home.chmod(0o700)
            held = stack.enter_context(mark.open("a"))
            _lock(held.fileno(), home)
            if not keep:
                _clear(home, mark)
        except OSError as error:
            raise DemoHomeError(
                f"{home} cannot be used: {error.strerror}",
                hint="Name a directory that you may write to with --home.",
            ) from error
        yield home


def _lock(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DemoHomeError(
            f"another demo is using {home}",
            hint="End it with Ctrl-C, or name another directory with --home.",
        ) from None


def _clear(home: Path, mark: Path) -> None:
    for found in home.iterdir():
        if found == mark:
            continue
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink()


def demo_settings(
    home: Path, routes: Mapping[str, str], *, public_url: str, limits: bool = False
) -> Settings:
    """Return settings under which nothing outside `home` is read, written or trusted."""
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # known to pydantic-settings only
        home=home,
        database_url=SecretStr(""),
        vault_key=None,
        jwt_keys={},
        jwt_issuer="firnline",
        jwt_audience="firnline",
        routes=routes,
        development=True,
        public_url=public_url,
        quota_pacing=limits,
    )
