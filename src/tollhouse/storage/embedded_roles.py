"""The roles of the embedded server: the owner of the cluster, and the role of the program, which is not a superuser."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from tollhouse.storage.database import PlainConnection
from tollhouse.storage.embedded_commands import PROGRAM_ROLE
from tollhouse.storage.queries import load_queries

DATABASE = "tollhouse"

queries = load_queries("tollhouse.storage")


async def prepare_database(connection: PlainConnection, dsn_of: Callable[[str], str]) -> None:
    """Create the program's role and database, or transfer a database that the cluster's owner created before.

    `connection` is the owner's, and so are the connections of `dsn_of`. A standby has everything already.
    """
    if await queries.select_is_standby(connection):
        return
    if not await queries.select_role_exists(connection, name=PROGRAM_ROLE):
        await queries.create_program_role(connection)
    owner = await queries.select_database_owner(connection, name=DATABASE)
    if owner is None:
        await queries.create_database(connection)
    elif owner != PROGRAM_ROLE:
        own = await asyncpg.connect(dsn_of(DATABASE))
        try:
            await queries.hand_over_database(own)
        finally:
            await own.close()
