"""The master keys: what unwraps the data keys, from the settings or from the file in home.

Takes the settings; the vault and its rotation receive a keyring. The first key is the newest one,
the others open what was wrapped before it.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretBytes

from firnline.errors import FirnlineError
from firnline.settings import Settings

KEY_BYTES = 32
KEYS_MAX = 20
VARIABLE = "FIRNLINE_VAULT_KEY"
_ID_DIGITS = 12
_DRAFT = re.compile(r"\.[0-9a-f]{16}")


class VaultKeyInvalidError(FirnlineError):
    """The vault's key is malformed, lies open, or is not the one that sealed the secrets."""

    code = "vault_key_invalid"
    exit_code = 2


class RotationRunningError(FirnlineError):
    """Another process is changing the master key in this home."""

    code = "vault_rotation_running"
    retryable = True
    status = 409


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One master key and its id, a digest that says nothing about the key."""

    id: str
    secret: SecretBytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> MasterKey:
        """Return the key made of these bytes."""
        digest = hashlib.sha256(b"firnline master key id 1" + secret).hexdigest()
        return cls(digest[:_ID_DIGITS], SecretBytes(secret))


@dataclass(frozen=True, slots=True)
class Keyring:
    """The master keys of one place. `path` is the file they lie in, None for the settings."""

    keys: tuple[MasterKey, ...]
    origin: str
    path: Path | None = None

    @property
    def newest(self) -> MasterKey:
        """Return the key that a rotation wraps with."""
        return self.keys[0]

    @property
    def ids(self) -> str:
        """Return the ids of all keys, to show to people."""
        return ", ".join(key.id for key in self.keys)

    def find(self, key_id: str) -> MasterKey | None:
        """Return the key of that id."""
        return next((key for key in self.keys if key.id == key_id), None)

    def read_again(self) -> Keyring:
        """Return what the place holds now; the settings of a process never change."""
        return self if self.path is None else _from_file(self.path)

    def where_to_add(self) -> str:
        """Return how people put another key beside these."""
        if self.path is None:
            return f"after a comma in {VARIABLE}"
        return f"as a further line of {self.path}"


def open_keyring(settings: Settings, *, may_make: bool) -> Keyring:
    """Return the configured keys, or those in home; raises VaultKeyInvalidError.

    `may_make` says that nothing is sealed yet: only then a missing file is made.
    """
    if settings.vault_key is not None:
        keys = _keys(settings.vault_key.get_secret_value().split(","), VARIABLE)
        return Keyring(keys, VARIABLE)
    path = settings.home / "vault.key"
    if not path.exists():
        if not may_make:
            raise VaultKeyInvalidError(
                f"{path} is missing, and the state database holds what its key sealed",
                hint=f"Put the file back from a backup or from another node, or set {VARIABLE}.",
            )
        _make(path)
    return _from_file(path)


def with_new_key(keyring: Keyring) -> Keyring:
    """Write a new key before those in the file and return them all."""
    assert keyring.path is not None
    fresh = MasterKey.of(secrets.token_bytes(KEY_BYTES))
    return _written(replace(keyring, keys=(fresh, *keyring.keys)), keyring.path)


def with_newest_alone(keyring: Keyring) -> Keyring:
    """Write the file without its older keys and return what is left."""
    assert keyring.path is not None
    return _written(replace(keyring, keys=keyring.keys[:1]), keyring.path)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Let no other process change the key file meanwhile; raises RotationRunningError.

    The lock is on the directory, which leaves nothing behind, and ends with the process.
    """
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RotationRunningError(
                f"another process is changing the keys in {path}",
                hint="Wait until it has ended.",
            ) from None
        yield
    finally:
        os.close(directory)


def _keys(texts: Sequence[str], origin: str) -> tuple[MasterKey, ...]:
    found = [_key(text, f"key {place} of {origin}") for place, text in enumerate(texts, 1)]
    keys = {key.id: key for key in found}
    if not 0 < len(keys) <= KEYS_MAX:
        raise VaultKeyInvalidError(
            f"{origin} holds {len(keys)} keys", hint=f"Keep between 1 and {KEYS_MAX} there."
        )
    return tuple(keys.values())


def _key(text: str, place: str) -> MasterKey:
    text = text.strip()
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise VaultKeyInvalidError(
            f"{place} is not {KEY_BYTES} bytes in base64url",
            hint="Make one with: python -c 'import base64, os; "
            "print(base64.urlsafe_b64encode(os.urandom(32)).decode())'",
        )
    return MasterKey.of(decoded)


def _from_file(path: Path) -> Keyring:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise VaultKeyInvalidError(
                f"{path} can be read by others", hint=f"Run: chmod 600 {path}"
            )
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, error) from error
    return Keyring(_keys(text.split() or [""], str(path)), str(path), path)


def _make(path: Path) -> None:
    """Write a new key whole or not at all; of two processes at once, the first one's counts."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = _draft(path, [MasterKey.of(secrets.token_bytes(KEY_BYTES))])
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
        finally:
            draft.unlink()
        _sync_directory(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _written(keyring: Keyring, path: Path) -> Keyring:
    """Replace the file whole or not at all, and return what it holds afterwards."""
    try:
        _remove_drafts(path)
        draft = _draft(path, keyring.keys)
        try:
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        # Wrapping with a key that a power cut takes away would lose what it wraps.
        _sync_directory(path)
    except OSError as error:
        raise _unusable(path, error) from error
    return keyring.read_again()


def _draft(path: Path, keys: Sequence[MasterKey]) -> Path:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    opened = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(opened, "wb") as file:
        for key in keys:
            file.write(base64.urlsafe_b64encode(key.secret.get_secret_value()) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return draft


def _remove_drafts(path: Path) -> None:
    """Remove what a process that was killed left behind: keys that nobody would look for."""
    for draft in path.parent.glob(f"{path.name}.*"):
        if _DRAFT.fullmatch(draft.suffix):
            draft.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _unusable(path: Path, error: Exception) -> VaultKeyInvalidError:
    return VaultKeyInvalidError(
        f"{path} cannot be used ({type(error).__name__})",
        hint=f"Make it readable for this user, or set {VARIABLE}.",
    )
