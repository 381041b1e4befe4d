"""Forward-only migrations: plain SQL files `NNNN_name.sql`, applied in the order of their numbers, each once.

Each file runs in a transaction of its own, under an advisory lock that ends with that transaction; so any number of
processes may migrate at once, and one that dies leaves whole files behind. The schema is the only one in the search
path, so files need not name it. What was applied is recorded with its digest: an applied file may not change, vanish,
or be preceded by a new one.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, TollhouseError
from tollhouse.storage.database import CONNECTION_LOST, PlainConnection
from tollhouse.storage.hosts import Hosts
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

CONNECT_TIMEOUT_SECONDS = 10.0
REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")

log = structlog.get_logger()
queries = load_queries("tollhouse.storage")


class DatabaseRefused(TollhouseError):
    """The server answers, and does not let this user into this database."""


class MigrationMisnamed(TollhouseError):
    """The migrations are not named NNNN_name.sql, each with a number of its own."""


class MigrationChanged(TollhouseError):
    """A migration was changed after it was applied."""


class MigrationUnknown(TollhouseError):
    """The database is newer than this program."""


class MigrationMisplaced(TollhouseError):
    """A migration that was never applied comes before one that was."""


class MigrationFailed(TollhouseError):
    """A migration could not be applied, and nothing of it was."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `name` is its name without the ending."""

    name: str
    sql: str
    digest: str


async def migrate(dsn: str, *, schema: str, directory: Path) -> list[str]:
    """Apply what is missing, and return the names of what was applied here. Makes the schema where there is none.

    Raises MigrationMisnamed, MigrationChanged, MigrationUnknown and MigrationMisplaced before anything is applied,
    MigrationFailed with the files before the faulty one applied, DatabaseUnavailable and DatabaseRefused.
    """
    migrations = read_migrations(directory)
    done: list[str] = []
    async with _connect(dsn) as connection:
        for _ in range(len(migrations) + 1):
            name = await _apply_next(connection, schema, migrations)
            if name is None:
                break
            log.debug("migration applied", schema=schema, name=name)
            done.append(name)
    if done:
        log.info("database.migrated", schema=schema, count=len(done), newest=done[-1])
    return done


async def pending(dsn: str, *, schema: str, directory: Path) -> list[str]:
    """Return the names of what `migrate` would apply, and change nothing. Raises what `migrate` raises."""
    migrations = read_migrations(directory)
    async with _connect(dsn) as connection, connection.transaction(readonly=True):
        await queries.update_search_path(connection, schema=schema)
        exists = await queries.select_migration_table_exists(connection)
        applied = await _select_applied(connection) if exists else {}
    return [migration.name for migration in choose_pending(migrations, applied)]


def read_migrations(directory: Path) -> list[Migration]:
    """Read the files in the order of their numbers. Raises MigrationMisnamed."""
    paths = sorted(directory.glob("*.sql"))
    numbers = {path.name[:4] for path in paths}
    if len(numbers) != len(paths) or not all(FILE_NAME.fullmatch(path.name) for path in paths):
        raise MigrationMisnamed(f"The files in {directory} are not named NNNN_name.sql, each with its own number.")
    return [_read(path) for path in paths]


def choose_pending(migrations: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """Return what is not applied yet, after checking that what was applied is exactly the beginning of what there is.

    `applied` is digest by name. Raises MigrationUnknown, MigrationChanged and MigrationMisplaced.
    """
    unknown = sorted(applied.keys() - {migration.name for migration in migrations})
    if unknown:
        names = ", ".join(unknown)
        raise MigrationUnknown(f"The database is newer than this program, which does not know its migrations {names}.")
    for migration in migrations:
        if applied.get(migration.name, migration.digest) != migration.digest:
            raise MigrationChanged(f"The migration {migration.name} was changed after it was applied; write a new one.")
    missing = [migration for migration in migrations if migration.name not in applied]
    last = max(applied, default="")
    if missing and missing[0].name < last:
        raise MigrationMisplaced(f"The migration {missing[0].name} comes before {last}, which was already applied.")
    return missing


async def _apply_next(connection: PlainConnection, schema: str, migrations: Sequence[Migration]) -> str | None:
    """Apply the first that is missing in one transaction, and return its name, or None where none is."""
    async with connection.transaction():
        await queries.lock_migrations(connection, schema=schema)
        await connection.execute(await queries.select_create_schema(connection, schema=schema))
        await queries.update_search_path(connection, schema=schema)
        await queries.create_migration_table(connection)
        missing = choose_pending(migrations, await _select_applied(connection))
        if not missing:
            return None
        await _apply(connection, missing[0])
        await queries.insert_migration(connection, name=missing[0].name, digest=missing[0].digest)
        return missing[0].name


async def _apply(connection: PlainConnection, migration: Migration) -> None:
    try:
        await connection.execute(migration.sql)
    except asyncpg.PostgresError as error:
        if isinstance(error, CONNECTION_LOST):
            raise
        message = f"The migration {migration.name} could not be applied, and nothing of it was: {error}"
        raise MigrationFailed(message) from error


async def _select_applied(connection: PlainConnection) -> dict[str, str]:
    return {row["name"]: row["digest"] async for row in queries.select_migrations(connection)}


@asynccontextmanager
async def _connect(dsn: str) -> AsyncIterator[PlainConnection]:
    """Open a connection of our own, for a pool's would be bound to its schema.

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
    content = path.read_bytes()
    return Migration(path.stem, content.decode(), hashlib.sha256(content).hexdigest())
