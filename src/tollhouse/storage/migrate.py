"""Apply forward-only migrations in the order of their numbers, each once.

A migration is an SQL file `NNNN_name.sql`, or a list `NNNN_name.list` of SQL files by relative path, one on a line,
which are joined in that order. Each migration runs in a database transaction of its own, under an advisory lock that
ends with the transaction: any number of processes may migrate at the same time, and a process that dies leaves whole
migrations behind. The schema is the only one in the search path, so files need not name it. Each applied migration is
recorded with its digest: it may not change, disappear, or be preceded by a new one.

A statement that waits for a lock on a table makes every later statement on that table wait too. A migration therefore
waits for `LOCK_TIMEOUT_SECONDS` at most, then rolls back and tries again.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, TollhouseError
from tollhouse.storage.database import CONNECTION_LOST, PlainConnection
from tollhouse.storage.hosts import Hosts
from tollhouse.storage.queries import load_queries

CONNECT_TIMEOUT_SECONDS = 10.0
LOCK_TIMEOUT_SECONDS = 2.0
LOCK_RETRY_INTERVAL_SECONDS = 1.0
MAX_LOCK_ATTEMPTS = 20
REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.(sql|list)")

log = structlog.get_logger()
queries = load_queries("tollhouse.storage")


class DatabaseRefused(TollhouseError):
    """The server rejected the credentials, or this user may not use this database."""


class DatabaseOfOtherEdition(TollhouseError):
    """The database was made by an edition of this program from which no migration leads here."""


class MigrationMisnamed(TollhouseError):
    """The migrations are not named NNNN_name.sql or NNNN_name.list, each with its own number."""


class MigrationChanged(TollhouseError):
    """A migration was changed after it was applied."""


class MigrationUnknown(TollhouseError):
    """The database is newer than this program."""


class MigrationMisplaced(TollhouseError):
    """A migration that was never applied comes before one that was."""


class MigrationFailed(TollhouseError):
    """A migration could not be applied and was rolled back."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration. `name` is the name of its file without the ending."""

    name: str
    sql: str
    digest: str


@dataclass(frozen=True, slots=True)
class LockPolicy:
    """The time a migration waits for locks, and how often it is tried."""

    timeout_seconds: float = LOCK_TIMEOUT_SECONDS
    interval_seconds: float = LOCK_RETRY_INTERVAL_SECONDS
    max_attempts: int = MAX_LOCK_ATTEMPTS


async def migrate(dsn: str, *, schema: str, directory: Path, locks: LockPolicy | None = None) -> list[str]:
    """Apply the missing migrations and return their names. Create the schema if it does not exist.

    Raises DatabaseOfOtherEdition, MigrationMisnamed, MigrationChanged, MigrationUnknown and MigrationMisplaced before
    anything is applied, MigrationFailed after the migrations before the faulty one were applied, DatabaseUnavailable
    and DatabaseRefused.
    """
    migrations = read_migrations(directory)
    done: list[str] = []
    async with _connect(dsn) as connection:
        for _ in range(len(migrations) + 1):
            name = await _apply_next_patiently(connection, schema, migrations, locks or LockPolicy())
            if name is None:
                break
            log.debug("migration.applied", schema=schema, name=name)
            done.append(name)
    if done:
        log.info("database.migrated", schema=schema, count=len(done), newest=done[-1])
    return done


async def pending(dsn: str, *, schema: str, directory: Path) -> list[str]:
    """Return the names of the migrations that `migrate` would apply. Raises as `migrate` does."""
    migrations = read_migrations(directory)
    async with _connect(dsn) as connection, connection.transaction(readonly=True):
        await queries.update_search_path(connection, schema=schema)
        exists = await queries.select_migration_table_exists(connection)
        applied = await _select_applied(connection) if exists else {}
    return [migration.name for migration in choose_pending(migrations, applied)]


def read_migrations(directory: Path) -> list[Migration]:
    """Read the migrations in the order of their numbers. Raises MigrationMisnamed."""
    paths = sorted((*directory.glob("*.sql"), *directory.glob("*.list")))
    numbers = {path.name[:4] for path in paths}
    if len(numbers) != len(paths) or not all(FILE_NAME.fullmatch(path.name) for path in paths):
        message = f"The files in {directory} are not named NNNN_name.sql or NNNN_name.list, each with its own number."
        raise MigrationMisnamed(message)
    return [_read(path) for path in paths]


def list_parts(path: Path) -> list[Path]:
    """Return the SQL files of a migration, in order: those that a list names, otherwise the file itself."""
    if path.suffix == ".sql":
        return [path]
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [path.parent / line for line in lines if line and not line.startswith("#")]


def choose_pending(migrations: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """Return the migrations to apply, after checking that the applied ones are exactly the first ones.

    `applied` maps names to digests. Raises DatabaseOfOtherEdition, MigrationUnknown, MigrationChanged and
    MigrationMisplaced.
    """
    if applied and migrations and migrations[0].name not in applied:
        raise DatabaseOfOtherEdition(
            "The database was made by the first edition of Tollhouse, which was never released, and cannot be brought "
            "up to date. Use an empty database: name one in TOLLHOUSE_DATABASE_URL, or an empty directory in "
            "TOLLHOUSE_DATA_DIR."
        )
    unknown = sorted(applied.keys() - {migration.name for migration in migrations})
    if unknown:
        names = ", ".join(unknown)
        raise MigrationUnknown(f"The database is newer than this program, which does not know its migrations {names}.")
    for migration in migrations:
        if applied.get(migration.name, migration.digest) != migration.digest:
            raise MigrationChanged(
                f"The migration {migration.name} was changed after it was applied. Write a new migration instead, or "
                "use an empty database if this one has no data to keep."
            )
    missing = [migration for migration in migrations if migration.name not in applied]
    last = max(applied, default="")
    if missing and missing[0].name < last:
        raise MigrationMisplaced(f"The migration {missing[0].name} comes before {last}, which was already applied.")
    return missing


async def _apply_next_patiently(
    connection: PlainConnection, schema: str, migrations: Sequence[Migration], locks: LockPolicy
) -> str | None:
    """Apply the next migration, trying again while others hold its locks. Raises MigrationFailed in the end."""
    for _ in range(locks.max_attempts):
        try:
            return await _apply_next(connection, schema, migrations, locks.timeout_seconds)
        except asyncpg.LockNotAvailableError:
            log.info("migration.lock_timed_out", schema=schema)
            await asyncio.sleep(locks.interval_seconds)
    raise MigrationFailed(
        "The next migration was not applied: others kept its tables locked. Run the command again when long "
        "transactions have ended."
    )


async def _apply_next(
    connection: PlainConnection, schema: str, migrations: Sequence[Migration], lock_timeout_seconds: float
) -> str | None:
    """Apply the next migration in one database transaction. Return its name, or None if none is missing."""
    async with connection.transaction():
        await queries.lock_migrations(connection, schema=schema)
        await connection.execute(await queries.select_create_schema(connection, schema=schema))
        await queries.update_search_path(connection, schema=schema)
        await queries.create_migration_table(connection)
        missing = choose_pending(migrations, await _select_applied(connection))
        if not missing:
            return None
        # After the advisory lock, for which others may wait as long as a migration takes.
        await queries.update_lock_timeout(connection, milliseconds=str(round(1000 * lock_timeout_seconds)))
        await _apply(connection, missing[0])
        await queries.insert_migration(connection, name=missing[0].name, digest=missing[0].digest)
        return missing[0].name


async def _apply(connection: PlainConnection, migration: Migration) -> None:
    try:
        await connection.execute(migration.sql)
    except asyncpg.PostgresError as error:
        if isinstance(error, (*CONNECTION_LOST, asyncpg.LockNotAvailableError)):
            raise
        message = f"The migration {migration.name} failed and was rolled back: {error}"
        raise MigrationFailed(message) from error


async def _select_applied(connection: PlainConnection) -> dict[str, str]:
    return {row["name"]: row["digest"] async for row in queries.select_migrations(connection)}


@asynccontextmanager
async def _connect(dsn: str) -> AsyncIterator[PlainConnection]:
    """Open a connection outside the pools, because those are bound to a schema.

    Raises DatabaseUnavailable and DatabaseRefused.
    """
    try:
        connection = await Hosts(dsn).connect(timeout=CONNECT_TIMEOUT_SECONDS)
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
    except REFUSED as error:
        raise DatabaseRefused(f"The database refuses the connection: {error}") from error
    except CONNECTION_LOST as error:
        raise DatabaseUnavailable from error


def _read(path: Path) -> Migration:
    content = b"\n".join(part.read_bytes() for part in list_parts(path))
    return Migration(path.stem, content.decode(), hashlib.sha256(content).hexdigest())
