"""The roles of the embedded server: one that owns the cluster, and one for the program, which is no superuser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import asyncpg

from tollhouse.storage.embedded_commands import PROGRAM_ROLE
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

DATABASE = "tollhouse"

queries = load_queries("tollhouse.storage")


async def prepare_database(connection: PlainConnection, dsn_of: Callable[[str], str]) -> None:
    """Make the program's role and its database, or hand over one that the cluster's owner made for itself before.

    `connection` is the owner's, and so are the connections that `dsn_of` leads to. A standby has everything already.
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
