"""The vault's cryptography: keys from keys, data keys in wraps, secrets in ciphertext.

Pure functions over bytes: AES-256-GCM with random nonces, keys derived with HKDF-SHA-256. Whatever
does not open, for whichever reason, raises `InvalidTag`.
"""

from __future__ import annotations

import secrets

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretBytes

from firnline.connections.sealing.keyring import KEY_BYTES, MasterKey
from firnline.state.keys import DataKeyRow
from firnline.state.sealed import FIRST_FORM, head_of

NONCE_BYTES = 12


def derived(secret: SecretBytes, purpose: bytes) -> bytes:
    """Return the key of its own that `secret` gives for a purpose."""
    kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose)
    return kdf.derive(secret.get_secret_value())


def wrap(key: SecretBytes, row: DataKeyRow, master: MasterKey) -> bytes:
    """Return a data key as ciphertext that opens in the place of `row` alone."""
    return _encrypted(_wrapping(master), key.get_secret_value(), _place(row, master))


def unwrap(row: DataKeyRow, master: MasterKey) -> SecretBytes:
    """Return the data key of a row; raises InvalidTag."""
    return SecretBytes(_decrypted(_wrapping(master), row.wrapped, _place(row, master)))


def seal(plain: bytes, key: SecretBytes, version: int, place: tuple[str, str, str]) -> bytes:
    """Return `plain` as ciphertext that opens for this purpose, tenant and connection alone."""
    head = head_of(version)
    return head + _encrypted(key.get_secret_value(), plain, _bound(place, version))


def unseal(ciphertext: bytes, key: SecretBytes, version: int, place: tuple[str, str, str]) -> bytes:
    """Return what `seal` took; raises InvalidTag."""
    head = head_of(version)
    if not ciphertext.startswith(head):
        raise InvalidTag
    return _decrypted(key.get_secret_value(), ciphertext[len(head) :], _bound(place, version))


def unseal_first_form(ciphertext: bytes, master: MasterKey, place: tuple[str, str, str]) -> bytes:
    """Return what was sealed before there were data keys; raises InvalidTag."""
    if not ciphertext.startswith(FIRST_FORM):
        raise InvalidTag
    key = derived(master.secret, b"firnline vault 1 " + place[1].encode())
    return _decrypted(key, ciphertext[len(FIRST_FORM) :], orjson.dumps(place))


def _wrapping(master: MasterKey) -> bytes:
    # A key of its own: the master key itself once derived the keys of the first form.
    return derived(master.secret, b"firnline wrap 1")


def _place(row: DataKeyRow, master: MasterKey) -> bytes:
    return orjson.dumps(["data key", row.purpose, row.tenant, row.version, master.id])


def _bound(place: tuple[str, str, str], version: int) -> bytes:
    return orjson.dumps([version, *place])


def _encrypted(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypted(key: bytes, ciphertext: bytes, bound: bytes) -> bytes:
    nonce, sealed = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
    if len(nonce) != NONCE_BYTES:
        raise InvalidTag
    return AESGCM(key).decrypt(nonce, sealed, bound)
