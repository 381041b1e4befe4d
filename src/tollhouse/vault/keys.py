"""Key providers.

A `KeyProvider` wraps and unwraps the per-card keys, and derives the keys of keyed hashes. The provider here reads a
file. It creates the file on the first run in stage and is rejected in live, where keys belong in a key management
service or with custodians.

The file is JSON, mode 0600. It has versions of the key-encryption key, of which the newest wraps and all unwrap, and
one secret from which the keys of keyed hashes are derived. That secret never rotates, because fingerprints and IDs
depend on it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tollhouse.kernel.errors import SealBroken, TollhouseError

KEY_BYTES = 32
NONCE_BYTES = 12


class KeyFileUnsafe(TollhouseError):
    """The key file is readable by other users."""


class KeyFileUnreadable(TollhouseError):
    """The key file is damaged, or not a key file."""


class KeyProvider(Protocol):
    """A provider of key-encryption keys. The version of a wrapped key is stored beside it, never inside."""

    @property
    def current_version(self) -> int:
        """The version that wraps new keys."""
        ...

    def wrap(self, key: bytes, *, bound_to: bytes) -> bytes:
        """Encrypt a key under the current version, bound to the associated data."""
        ...

    def unwrap(self, wrapped: bytes, *, version: int, bound_to: bytes) -> bytes:
        """Decrypt a key. Raises SealBroken if the key, the version or the associated data do not match."""
        ...

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a keyed hash for one purpose. It never changes."""
        ...


@lru_cache(maxsize=16)
def _cipher(key: bytes) -> AESGCM:
    """Set the cipher of a key-encryption key up: that costs more than to wrap a key with it."""
    return AESGCM(key)


@dataclass(frozen=True, slots=True, repr=False)
class FileKeyProvider:
    """Keys from a file, kept in memory. For stage."""

    versions: dict[int, bytes]
    root: bytes

    @classmethod
    def open(cls, path: Path) -> FileKeyProvider:
        """Read the key file, or create it if it does not exist.

        Raises KeyFileUnsafe if others may read it, and KeyFileUnreadable if its content is not valid.
        """
        if not path.exists():
            _write_new(path)
        if path.stat().st_mode & 0o077:
            raise KeyFileUnsafe(f"The key file {path} is readable by other users. Set its mode to 0600.")
        try:
            return cls(*_read(path.read_bytes()))
        except (ValueError, LookupError, TypeError, AttributeError):
            # The cause is left out because it may quote a key.
            raise KeyFileUnreadable(
                f"The key file {path} is damaged or is not a key file. Restore the original."
            ) from None

    @property
    def current_version(self) -> int:
        """The newest version in the file."""
        return max(self.versions)

    def wrap(self, key: bytes, *, bound_to: bytes) -> bytes:
        """Encrypt a key under the current version, bound to the associated data."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + _cipher(self.versions[self.current_version]).encrypt(nonce, key, bound_to)

    def unwrap(self, wrapped: bytes, *, version: int, bound_to: bytes) -> bytes:
        """Decrypt a key. Raises SealBroken if the key, the version or the associated data do not match."""
        try:
            return _cipher(self.versions[version]).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound_to)
        except (KeyError, InvalidTag, ValueError) as error:
            raise SealBroken from error

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a keyed hash for one purpose."""
        return HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=f"tollhouse {purpose}".encode()).derive(self.root)


def _read(content: bytes) -> tuple[dict[int, bytes], bytes]:
    """Return the key-encryption keys by version, and the secret of the keyed hashes."""
    file = json.loads(content.decode("ascii"))
    versions = {
        int(version): base64.b64decode(key, validate=True) for version, key in file["keyEncryptionKeys"].items()
    }
    root = base64.b64decode(file["root"], validate=True)
    if not versions or any(len(key) != KEY_BYTES for key in (*versions.values(), root)):
        raise ValueError("keys are missing or short")
    return versions, root


def _write_new(path: Path) -> None:
    content = {
        "keyEncryptionKeys": {"1": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()},
        "root": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode(),
    }
    # A unique name: a process that crashed here may have left a file and have had our process ID.
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(unfinished, path)  # fails if another process created the file meanwhile; its file is used
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
        _make_durable(path.parent)


def _make_durable(directory: Path) -> None:
    """Flush a directory to disk. A card that was sealed under a lost key would be lost too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
