"""The vault: small secrets as ciphertext, for the state store to keep.

AES-256-GCM with a key per tenant derived from the master key, bound to what the secret is for, so
that a ciphertext copied to another tenant, connection or purpose does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from firnline.errors import FirnlineError
from firnline.settings import Settings

Purpose = Literal["token", "client", "verifier"]

KEY_BYTES = 32
NONCE_BYTES = 12
FORM = b"\x01"  # first byte of every ciphertext: which algorithm and key derivation made it


class VaultKeyInvalidError(FirnlineError):
    """The vault's key is malformed, lies open, or is not the one that sealed the secrets."""

    code = "vault_key_invalid"
    exit_code = 2


class Vault:
    """Seals and opens secrets under one master key."""

    def __init__(self, master_key: SecretStr, *, origin: str = "FIRNLINE_VAULT_KEY") -> None:
        """Take the key and, for people who look for another, where it came from."""
        self._master_key = master_key
        self._origin = origin
        _key_bytes(master_key)

    @classmethod
    def open(cls, settings: Settings) -> Vault:
        """Use the configured key, or the one in home, made on first use.

        Raises VaultKeyInvalidError.
        """
        if settings.vault_key is not None:
            return cls(settings.vault_key)
        return cls(_key_of_home(settings.home), origin=str(settings.home / "vault.key"))

    async def seal(
        self, secret: Mapping[str, Any], *, purpose: Purpose, tenant: str, connection: str
    ) -> bytes:
        """Return `secret` (a small JSON object) as ciphertext."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        bound = _associated(purpose, tenant, connection)
        sealed = self._cipher(tenant).encrypt(nonce, orjson.dumps(dict(secret)), bound)
        return FORM + nonce + sealed

    async def unseal(
        self, ciphertext: bytes, *, purpose: Purpose, tenant: str, connection: str
    ) -> dict[str, Any]:
        """Return what was sealed for the same purpose, tenant and connection.

        Raises VaultKeyInvalidError when it does not open.
        """
        start = len(FORM)
        nonce, sealed = ciphertext[start : start + NONCE_BYTES], ciphertext[start + NONCE_BYTES :]
        try:
            if not ciphertext.startswith(FORM) or len(nonce) != NONCE_BYTES:
                raise InvalidTag
            bound = _associated(purpose, tenant, connection)
            plain = self._cipher(tenant).decrypt(nonce, sealed, bound)
        except InvalidTag:
            raise VaultKeyInvalidError(
                f"the stored {purpose} of {connection!r} at {tenant!r} does not open with the key "
                f"from {self._origin}: another one sealed it",
                hint="Put that key back (FIRNLINE_VAULT_KEY, or vault.key in home), or connect "
                f"again: firnline connect {tenant} {connection}",
            ) from None
        opened: dict[str, Any] = orjson.loads(plain)
        return opened

    def derive(self, label: bytes) -> bytes:
        """Return a key of its own for another use, the same in every process of this home."""
        return self._derived(b"firnline derived 1 " + label)

    def _cipher(self, tenant: str) -> AESGCM:
        return AESGCM(self._derived(b"firnline vault 1 " + tenant.encode()))

    def _derived(self, info: bytes) -> bytes:
        kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info)
        return kdf.derive(_key_bytes(self._master_key))


def _associated(purpose: str, tenant: str, connection: str) -> bytes:
    return orjson.dumps([purpose, tenant, connection])


def _key_bytes(key: SecretStr) -> bytes:
    text = key.get_secret_value().strip()
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise VaultKeyInvalidError(
            f"the vault key is not {KEY_BYTES} bytes in base64url",
            hint="Make one with: python -c 'import base64, os; "
            "print(base64.urlsafe_b64encode(os.urandom(32)).decode())'",
        )
    return decoded


def _key_of_home(home: Path) -> SecretStr:
    path = home / "vault.key"
    try:
        if not path.exists():
            _make_key(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise VaultKeyInvalidError(
                f"{path} can be read by others", hint=f"Run: chmod 600 {path}"
            )
        return SecretStr(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise VaultKeyInvalidError(
            f"{path} cannot be used ({type(error).__name__})",
            hint="Make it readable for this user, or set FIRNLINE_VAULT_KEY.",
        ) from error


def _make_key(path: Path) -> None:
    """Write a new key whole or not at all; of two processes at once, the first one's counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    opened = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
    finally:
        draft.unlink()
