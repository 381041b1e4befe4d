"""The role with which the program works on the embedded database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import GATEWAY_MIGRATIONS, SIMULATOR_MIGRATIONS

from tollhouse.storage.embedded import EmbeddedPostgres
from tollhouse.storage.migrate import migrate, pending

SCHEMAS = {"gateway": GATEWAY_MIGRATIONS, "simulator": SIMULATOR_MIGRATIONS}

#: Whatever stands in our schemas and belongs to another role.
FOREIGN = """
    select 'schema', nspname::text from pg_namespace
    where nspname in ('gateway', 'simulator') and nspowner <> 'tollhouse_program'::regrole
    union all
    select 'relation', oid::regclass::text from pg_class
    where relnamespace in ('gateway'::regnamespace, 'simulator'::regnamespace)
        and relowner <> 'tollhouse_program'::regrole
    union all
    select 'routine', oid::regprocedure::text from pg_proc
    where pronamespace in ('gateway'::regnamespace, 'simulator'::regnamespace)
        and proowner <> 'tollhouse_program'::regrole
    union all
    select 'type', oid::regtype::text from pg_type
    where typnamespace in ('gateway'::regnamespace, 'simulator'::regnamespace)
        and typowner <> 'tollhouse_program'::regrole
    union all
    select 'database', datname::text from pg_database
    where datname = current_database() and datdba <> 'tollhouse_program'::regrole
"""


@pytest.fixture
async def server(data_directory: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A running server."""
    server = EmbeddedPostgres(data_directory, durable=False)
    await server.start()
    yield server
    await server.stop()


async def migrate_all(dsn: str) -> None:
    """Make both schemas."""
    for schema, directory in SCHEMAS.items():
        await migrate(dsn, schema=schema, directory=directory)


async def test_the_program_is_no_superuser(server: EmbeddedPostgres) -> None:
    """The program makes its schemas and works in them, and can neither run programs, read files nor make roles."""
    await migrate_all(server.dsn)
    connection = await asyncpg.connect(server.dsn)
    row = await connection.fetchrow("select * from pg_roles where rolname = current_user")
    assert row is not None
    assert not any(row[name] for name in ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"))
    for statement in (
        "copy (select 1) to program 'id'",
        "select pg_read_file('/etc/hostname')",
        "create role another",
        "set role tollhouse",
        "alter system set jit = on",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    assert await connection.fetchval("show log_error_verbosity") == "terse"
    assert await connection.fetch(FOREIGN) == []
    await connection.close()


async def test_a_data_directory_from_before_is_handed_over(server: EmbeddedPostgres) -> None:
    """A database that the superuser made and filled is the program's after the next start, with all that is in it."""
    owner = await asyncpg.connect(server.owner_dsn)
    await owner.execute("alter database tollhouse owner to tollhouse; reassign owned by tollhouse_program to tollhouse")
    await owner.execute("drop owned by tollhouse_program; drop role tollhouse_program")
    await owner.close()
    await migrate_all(server.owner_dsn)
    owner = await asyncpg.connect(server.owner_dsn)
    await owner.execute("insert into gateway.merchant (merchant_id, name, ipn_secret) values (1, 'Shop', 'sealed')")
    await owner.close()
    for _ in range(2):
        await server.stop()
        await server.start()
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("select count(*) from gateway.merchant") == 1
        assert [tuple(row) for row in await connection.fetch(FOREIGN)] == []
        await connection.close()
    for schema, directory in SCHEMAS.items():
        assert await pending(server.dsn, schema=schema, directory=directory) == []
    # What later migrations do.
    connection = await asyncpg.connect(server.dsn, server_settings={"search_path": "gateway"})
    await connection.execute("alter table merchant add column more text; alter table payment rename to purchase")
    await connection.execute("alter type initiator add value 'another'; drop function reserve_ids_v1")
    await connection.execute("create schema another")
    await connection.close()
