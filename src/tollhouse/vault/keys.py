"""Where the keys come from.

A `KeyProvider` wraps and unwraps the per-card keys and gives the keys of the keyed hashes. The one here reads a
file; it is made on the first run in stage and refused in live, where keys belong to a key management service or to
custodians.

The file is JSON, mode 0600: a list of versions of the key-encryption key, of which the newest wraps and all unwrap,
and one secret from which the keys of keyed hashes are derived. That secret never rotates: fingerprints and ids
depend on it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
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
    """The key file may be read by others than its owner."""


class KeyFileUnreadable(TollhouseError):
    """The key file is damaged, or another kind of file."""


class KeyProvider(Protocol):
    """Holds the key-encryption keys. Wrapped keys carry their version beside them, never inside."""

    @property
    def current_version(self) -> int:
        """The version that wraps from now on."""
        ...

    def wrap(self, key: bytes, *, bound_to: bytes) -> bytes:
        """Encrypt a key under the current version, bound to the associated data."""
        ...

    def unwrap(self, wrapped: bytes, *, version: int, bound_to: bytes) -> bytes:
        """Decrypt a key. Raises SealBroken when the key, the version or the associated data do not fit."""
        ...

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a keyed hash for one purpose; the same for ever."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class FileKeyProvider:
    """Keys from a file, held in memory. For stage."""

    versions: dict[int, bytes]
    root: bytes

    @classmethod
    def open(cls, path: Path) -> FileKeyProvider:
        """Read the key file, or make one when there is none.

        Raises KeyFileUnsafe when others may read it, and KeyFileUnreadable when there is something else in it.
        """
        if not path.exists():
            _write_new(path)
        if path.stat().st_mode & 0o077:
            raise KeyFileUnsafe(f"The key file {path} may be read by others; set its mode to 0600.")
        try:
            return cls(*_read(path.read_bytes()))
        except (ValueError, LookupError, TypeError, AttributeError):
            # Without what was wrong with it: that may quote a key.
            raise KeyFileUnreadable(
                f"The key file {path} is damaged, or is none; bring back the one that was there."
            ) from None

    @property
    def current_version(self) -> int:
        """The newest version in the file."""
        return max(self.versions)

    def wrap(self, key: bytes, *, bound_to: bytes) -> bytes:
        """Encrypt a key under the current version, bound to the associated data."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self.versions[self.current_version]).encrypt(nonce, key, bound_to)

    def unwrap(self, wrapped: bytes, *, version: int, bound_to: bytes) -> bytes:
        """Decrypt a key. Raises SealBroken when the key, the version or the associated data do not fit."""
        try:
            key = AESGCM(self.versions[version])
            return key.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound_to)
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
    # A name of its own also beside what a process left that died here and had our number.
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(unfinished, path)  # fails when somebody else made one meanwhile: theirs is taken
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
        _make_durable(path.parent)


def _make_durable(directory: Path) -> None:
    """Let a directory's entries outlive a power cut: a card that was sealed under a lost key is lost."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
