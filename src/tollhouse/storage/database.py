"""Connections to PostgreSQL, and what it means when one is lost.

`acquire` gives a connection whose statements commit one by one, `transaction` one that commits at the end of the
block. Whatever says that the server is away (refused, reset, shut down, no free connection in time) leaves as
`DatabaseUnavailable`. No network call other than to PostgreSQL belongs inside either block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import TYPE_CHECKING, Any, Self

import asyncpg
import structlog

from tollhouse.kernel.errors import DatabaseUnavailable, StatementTooSlow
from tollhouse.storage.hosts import Hosts

if TYPE_CHECKING:
    PlainConnection = asyncpg.Connection[asyncpg.Record]
else:
    PlainConnection = asyncpg.Connection

#: How long a caller waits for a free or a new connection.
ACQUIRE_TIMEOUT_SECONDS = 5.0

#: How long a statement may take. A server that has gone silent, as behind a broken network, is away too.
STATEMENT_TIMEOUT_SECONDS = 10.0

#: After so many statements the driver replaces a connection. A new one has its types to learn and its statements to
#: plan again, 50 ms of processor time in which payments wait; the driver's own bound comes every quarter of a minute.
STATEMENTS_OF_A_CONNECTION = 10_000_000

#: After how long a connection that nobody uses is closed.
IDLE_SECONDS = 300.0

#: How long to wait for a connection of ours when the server has none left, and how often that is logged.
FULL_PAUSE_SECONDS = 0.05
FULL_LOG_INTERVAL_SECONDS = 10.0

#: What the driver raises when the server, or the way to it, is gone.
CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # The server hung up while the connection was idle inside a transaction, and the next statement met its last words.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    # No connection is free, the disk is full, memory is short: not a fault of what was asked.
    asyncpg.InsufficientResourcesError,
    # After a fail-over: the server has become a standby.
    asyncpg.ReadOnlySQLTransactionError,
    # A statement that this connection prepared is gone, or its plan no longer fits its tables; a new one prepares anew.
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidSQLStatementNameError,
    OSError,
    TimeoutError,
)


log = structlog.get_logger()


class Connection(PlainConnection):
    """A connection that is given back as it is.

    The driver would send a reset at each return, a round trip that only session state needs; this house keeps none.
    """

    def get_reset_query(self) -> str:
        """Return the statement that the pool sends when the connection comes back: none."""
        return ""


class Database:
    """A bounded pool of connections that look into one schema."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._told_full_at = -inf

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        schema: str,
        role: str = "",
        min_size: int = 1,
        max_size: int = 8,
        statement_seconds: float = STATEMENT_TIMEOUT_SECONDS,
        server_timeout_seconds: float = 0.0,
        keeps_idle: bool = False,
    ) -> Self:
        """Open `min_size` connections now and up to `max_size` when needed. Raises DatabaseUnavailable.

        `dsn` may name several hosts: the one that takes writes is used. `role` says on the server what the pool is for.
        `server_timeout_seconds` is after how long the server itself ends a statement; 0 is never. `keeps_idle` leaves
        connections open that nobody uses, for a later one might not be had.
        """
        connect: Any = Hosts(dsn).connect
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=min_size,
                max_size=max_size,
                connection_class=Connection,
                connect=connect,
                timeout=ACQUIRE_TIMEOUT_SECONDS,
                # The server's own time-out comes first: it leaves nothing running.
                command_timeout=max(statement_seconds, 2 * server_timeout_seconds),
                max_inactive_connection_lifetime=0.0 if keeps_idle else IDLE_SECONDS,
                max_queries=STATEMENTS_OF_A_CONNECTION,
                # Plans of every statement stay prepared, and none is made anew for its parameters.
                statement_cache_size=500,
                server_settings={
                    "search_path": schema,
                    "application_name": f"tollhouse {schema} {role}".rstrip(),
                    "statement_timeout": f"{server_timeout_seconds * 1000:.0f}",
                    "timezone": "UTC",
                    "jit": "off",
                    # The statements take arrays of any length and are planned once for all of them.
                    "plan_cache_mode": "force_generic_plan",
                    # A plan may be older than the rows: made for a table that was all but empty, it would read the
                    # whole of it until statistics are gathered. What is hot is in memory, where an index costs no more.
                    "random_page_cost": "1.1",
                    # A transaction that waits for us this long was forgotten by a bug or a dead process.
                    "idle_in_transaction_session_timeout": "30s",
                },
            )
        except CONNECTION_LOST as error:
            raise DatabaseUnavailable from error
        return cls(pool)

    async def close(self) -> None:
        """Close every connection; after a few seconds also those still in use."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout=3)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[PlainConnection]:
        """Lend a connection whose statements commit one by one."""
        try:
            connection = await self._borrow()
            try:
                yield connection
            except (asyncio.CancelledError, *CONNECTION_LOST):
                # Its state is in doubt: nobody may get it after us.
                with suppress(asyncpg.InterfaceError):  # the driver has taken it back already
                    connection.terminate()
                raise
            finally:
                await self._pool.release(connection)
        except CONNECTION_LOST as error:
            if isinstance(error, ValueError):  # the driver's word for a parameter that does not fit
                raise
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                # The server became a standby: so did that of every other connection.
                await self._pool.expire_connections()
            if isinstance(error, asyncpg.QueryCanceledError):
                raise StatementTooSlow from error
            raise DatabaseUnavailable from error

    async def _borrow(self) -> Any:
        """Take a connection. While the server has none left, wait for one of ours that comes back."""
        give_up_at = time.monotonic() + ACQUIRE_TIMEOUT_SECONDS
        while True:
            try:
                return await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
            except asyncpg.TooManyConnectionsError:
                self._tell_full()
                if time.monotonic() >= give_up_at:
                    raise
                await asyncio.sleep(FULL_PAUSE_SECONDS)

    def _tell_full(self) -> None:
        """Log that the server has no connection left, in one line now and then."""
        if time.monotonic() - self._told_full_at >= FULL_LOG_INTERVAL_SECONDS:
            self._told_full_at = time.monotonic()
            log.error("database.connections_exhausted", open_here=self._pool.get_size())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PlainConnection]:
        """Lend a connection for one READ COMMITTED transaction that commits when the block ends well."""
        async with self.acquire() as connection, connection.transaction():
            yield connection
