"""The ring of keys for security codes of open challenges: a key a minute, in memory only, gone after 15 minutes.

The keys are shared by the processes of one machine and one user, in a directory of a file system that lives in memory
(tmpfs). Where there is none each process has its own. No key is ever in a database, in a backup or on a disk, so
neither dumps nor the key file open a code (PCI DSS 4.0.1, 3.3.1 and 3.3.2).
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

#: Where systems with shared memory mount it (shm_overview(7)).
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - checked before use: owned by this user, mode 0700, in memory
#: Minutes until a key is erased, counted from the beginning of the minute in which it seals.
KEY_LIFE_MINUTES = 15
#: The kinds of file system that live in memory.
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
MOUNTS = Path("/proc/self/mountinfo")


class RingUnsafe(TollhouseError):
    """The directory of the ring is not in memory, or others can read it."""


class KeyRing(Protocol):
    """Keys by the minute in which they seal, counted from 1970."""

    def take(self, minute: int) -> bytes:
        """Return the key of a minute; draw it if there is none yet. Raises OSError if it cannot be kept."""
        ...

    def find(self, minute: int) -> bytes | None:
        """Return the key of a minute, or None if it is gone or another machine's."""
        ...

    def sweep(self, minute: int) -> None:
        """Erase the keys that are too old in this minute."""
        ...


class MemoryRing:
    """The ring of one process."""

    def __init__(self) -> None:
        self._keys: dict[int, bytes] = {}

    def take(self, minute: int) -> bytes:
        """Return the key of a minute; draw it if there is none yet."""
        self.sweep(minute)
        return self._keys.setdefault(minute, secrets.token_bytes(KEY_BYTES))

    def find(self, minute: int) -> bytes | None:
        """Return the key of a minute, or None if it is gone or another process's."""
        return self._keys.get(minute)

    def sweep(self, minute: int) -> None:
        """Erase the keys that are too old in this minute."""
        self._keys = {made: key for made, key in self._keys.items() if is_alive(made, minute)}


class FileRing:
    """The ring of a machine: one file a minute, mode 0600, in a directory that lives in memory.

    Nothing is remembered, so that a key that one process erased is gone for all of them. `home` is where the rings of
    this user's deployments are: what those that have ended left there is swept too.
    """

    def __init__(self, directory: Path, *, home: Path | None = None) -> None:
        self._directory = directory
        self._home = home

    def take(self, minute: int) -> bytes:
        """Return the key of a minute; draw it if there is none yet. Raises OSError and RingUnsafe."""
        key = self.find(minute)
        if key is not None:
            return key
        self.sweep(minute)
        make_private(self._directory)
        self._write(minute, secrets.token_bytes(KEY_BYTES))
        key = self.find(minute)
        if key is None:
            raise FileNotFoundError(f"The key of minute {minute} did not stay.")
        return key

    def find(self, minute: int) -> bytes | None:
        """Return the key of a minute, or None if it is gone or another machine's."""
        try:
            key = self._path(minute).read_bytes()
        except OSError:
            return None
        return key if len(key) == KEY_BYTES else None

    def sweep(self, minute: int) -> None:
        """Erase the keys that are too old in this minute."""
        for path in list_files(self._directory):
            name = path.name.partition(".")[0]
            if not name.isdigit() or not is_alive(int(name), minute):
                path.unlink(missing_ok=True)
        if self._home is not None:
            _sweep_left_behind(self._home)

    def _path(self, minute: int) -> Path:
        return self._directory / f"{minute}.key"

    def _write(self, minute: int, key: bytes) -> None:
        """Keep a key whole or not at all; if another process was faster, its key stays."""
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
    """Tell whether the key of one minute may still open in another. A key of the future is not one."""
    return minute - KEY_LIFE_MINUTES < made <= minute + KEY_LIFE_MINUTES


def open_ring(directory: Path | None, *, name: str) -> KeyRing:
    """Return the ring of this machine, or of this process where there is no memory to share. `name` names a deployment.

    Raises RingUnsafe for a directory that was set and is not in memory, or that others can read.
    """
    base = directory or SHARED_MEMORY
    home = base / f"tollhouse-{os.geteuid()}"
    try:
        if find_file_system(base) not in MEMORY_FILE_SYSTEMS:
            raise RingUnsafe("it is not in memory (tmpfs).")
        make_private(home)
    except (OSError, RingUnsafe) as error:
        if directory is not None:
            raise RingUnsafe(f"Keys cannot be kept in {directory}: {error}") from None
        return MemoryRing()
    return FileRing(home / name, home=home)


def make_private(path: Path) -> None:
    """Make a directory that only this user can read, unless it is there. Raises RingUnsafe and OSError."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise RingUnsafe(f"{path} is not a directory that only its owner, this user, can read.")


def list_files(directory: Path) -> list[Path]:
    """Name what is in a directory; nothing if it is not there."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _sweep_left_behind(home: Path) -> None:
    """Erase old keys of all deployments of this user, and the directories in which there is none."""
    before = time.time() - 60 * (KEY_LIFE_MINUTES + 1)
    for ring in list_files(home):
        for path in list_files(ring):
            with suppress(OSError):
                if path.lstat().st_mtime < before:
                    path.unlink()
        with suppress(OSError):  # it is made again by the deployment that needs it
            ring.rmdir()


def find_file_system(path: Path) -> str | None:
    """Return the kind of the file system of a directory, or None if that is not known (proc_pid_mountinfo(5))."""
    sought, found = path.resolve(strict=True), (0, "")
    for line in MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4])
        if sought.is_relative_to(point) and len(point.parts) >= found[0]:
            found = (len(point.parts), after.split(" ")[0])
    return found[1] or None
