"""Keys for the security codes of open challenges: a key a minute, in memory only, erased after 15 minutes.

The processes of one machine and user share the keys in a directory of an in-memory file system (tmpfs). Without one,
each process has its own keys. No key is ever in a database, in a backup or on a disk, so neither dumps nor the key file
can open a code (PCI DSS 4.0.1, 3.3.1 and 3.3.2).
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tollhouse.kernel.errors import TollhouseError
from tollhouse.vault.keys import KEY_BYTES

#: The mount point on systems with shared memory (shm_overview(7)).
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - checked before use: owned by this user, mode 0700, in memory
#: Minutes until a key is erased, counted from the start of the minute in which it seals.
KEY_LIFE_MINUTES = 15
#: Types of file systems that are kept in memory.
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
MOUNTS = Path("/proc/self/mountinfo")


class KeyDirectoryUnsafe(TollhouseError):
    """The directory of the keys is not in memory, or others can read it."""


class SecurityCodeKeys(Protocol):
    """A set of keys, by the minute in which they seal, counted from 1970."""

    def get_or_create(self, minute: int) -> bytes:
        """Return the key of a minute; create it if it does not exist. Raises OSError if it cannot be stored."""
        ...

    def find(self, minute: int) -> bytes | None:
        """Return the key of a minute, or None if it was erased or belongs to another machine."""
        ...

    def sweep(self, minute: int) -> None:
        """Erase the keys that have expired in this minute."""
        ...


class InMemoryKeys:
    """The keys of one process."""

    def __init__(self) -> None:
        self._keys: dict[int, bytes] = {}

    def get_or_create(self, minute: int) -> bytes:
        """Return the key of a minute; create it if it does not exist."""
        self.sweep(minute)
        return self._keys.setdefault(minute, secrets.token_bytes(KEY_BYTES))

    def find(self, minute: int) -> bytes | None:
        """Return the key of a minute, or None if it was erased or belongs to another process."""
        return self._keys.get(minute)

    def sweep(self, minute: int) -> None:
        """Erase the keys that have expired in this minute."""
        self._keys = {made: key for made, key in self._keys.items() if is_alive(made, minute)}


class SharedKeys:
    """The keys of a machine: one file a minute, mode 0600, in an in-memory directory.

    Nothing is cached, so a key that one process erases is gone for all. `home` has the directories of all deployments
    of this user; files left behind by ended deployments are swept too.
    """

    def __init__(self, directory: Path, *, home: Path | None = None) -> None:
        self._directory = directory
        self._home = home

    def get_or_create(self, minute: int) -> bytes:
        """Return the key of a minute; create it if it does not exist. Raises OSError and KeyDirectoryUnsafe."""
        key = self.find(minute)
        if key is not None:
            return key
        self.sweep(minute)
        create_private_directory(self._directory)
        self._write(minute, secrets.token_bytes(KEY_BYTES))
        key = self.find(minute)
        if key is None:
            raise FileNotFoundError(f"The key of minute {minute} was not stored.")
        return key

    def find(self, minute: int) -> bytes | None:
        """Return the key of a minute, or None if it was erased or belongs to another machine."""
        try:
            key = self._path(minute).read_bytes()
        except OSError:
            return None
        return key if len(key) == KEY_BYTES else None

    def sweep(self, minute: int) -> None:
        """Erase the keys that have expired in this minute."""
        for path in list_files(self._directory):
            name = path.name.partition(".")[0]
            if not name.isdigit() or not is_alive(int(name), minute):
                path.unlink(missing_ok=True)
        if self._home is not None:
            _sweep_left_behind(self._home)

    def _path(self, minute: int) -> Path:
        return self._directory / f"{minute}.key"

    def _write(self, minute: int, key: bytes) -> None:
        """Store a key atomically. If another process was faster, its key stays."""
        unfinished = self._directory / f"{minute}.{secrets.token_hex(8)}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
            os.link(unfinished, self._path(minute))
        except FileExistsError:
            pass
        finally:
            unfinished.unlink(missing_ok=True)


def is_alive(made: int, minute: int) -> bool:
    """Return whether the key of one minute may still open in another. A key from the future may not."""
    return minute - KEY_LIFE_MINUTES < made <= minute + KEY_LIFE_MINUTES


def open_security_code_keys(directory: Path | None, *, name: str) -> SecurityCodeKeys:
    """Return the keys of this machine, or of this process if no memory is shared. `name` names a deployment.

    Raises KeyDirectoryUnsafe for a configured directory that is not in memory, or that others can read.
    """
    base = directory or SHARED_MEMORY
    home = base / f"tollhouse-{os.geteuid()}"
    try:
        if find_file_system(base) not in MEMORY_FILE_SYSTEMS:
            raise KeyDirectoryUnsafe("The directory is not in memory (tmpfs). Choose one that is.")
        create_private_directory(home)
    except (OSError, KeyDirectoryUnsafe) as error:
        if directory is not None:
            raise KeyDirectoryUnsafe(f"Keys cannot be stored in {directory}. {error}") from None
        return InMemoryKeys()
    return SharedKeys(home / name, home=home)


def create_private_directory(path: Path) -> None:
    """Create a directory that only this user can read, unless it exists. Raises KeyDirectoryUnsafe and OSError."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise KeyDirectoryUnsafe(f"{path} must be a directory that only this user can read.")


def list_files(directory: Path) -> list[Path]:
    """List the entries of a directory. Return an empty list if it does not exist."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _sweep_left_behind(home: Path) -> None:
    """Erase old keys of all deployments of this user, and directories without keys."""
    before = time.time() - 60 * (KEY_LIFE_MINUTES + 1)
    for ring in list_files(home):
        for path in list_files(ring):
            with suppress(OSError):
                if path.lstat().st_mtime < before:
                    path.unlink()
        with suppress(OSError):  # the deployment that needs it creates it again
            ring.rmdir()


def find_file_system(path: Path) -> str | None:
    """Return the file system type of a directory, or None if it is unknown (proc_pid_mountinfo(5))."""
    sought, found = path.resolve(strict=True), (0, "")
    for line in MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4])
        if sought.is_relative_to(point) and len(point.parts) >= found[0]:
            found = (len(point.parts), after.split(" ")[0])
    return found[1] or None
