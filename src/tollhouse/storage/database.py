"""Connections to PostgreSQL, and the handling of lost ones.

`acquire` yields a connection whose statements commit one by one, `transaction` one that commits at the end of the
block. Every error of an unavailable server (refused, reset, shut down, no free connection in time) is raised as
`DatabaseUnavailable`. Neither block may contain network calls other than to PostgreSQL.
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

from tollhouse.kernel.clock import DatabaseClock
from tollhouse.kernel.errors import DatabaseUnavailable, StatementTooSlow
from tollhouse.storage.hosts import Hosts
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    PlainConnection = asyncpg.Connection[asyncpg.Record]
else:
    PlainConnection = asyncpg.Connection

#: The timeout for a free or new connection.
ACQUIRE_TIMEOUT_SECONDS = 5.0

#: The timeout of a statement. A silent server, for example behind a broken network, counts as unavailable too.
STATEMENT_TIMEOUT_SECONDS = 10.0

#: Statements after which the driver replaces a connection. A new connection must load types and plan its statements
#: again, which takes 50 ms of processor time while payments wait. The driver's default would do this every 15 seconds.
STATEMENTS_OF_A_CONNECTION = 10_000_000

#: The time after which an unused connection is closed.
IDLE_TIMEOUT_SECONDS = 300.0

#: The pause before another attempt to get a connection from a full server, and the shortest interval of its log line.
FULL_INTERVAL_SECONDS = 0.05
FULL_LOG_INTERVAL_SECONDS = 10.0

#: The driver's exceptions for a lost server or network.
CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # The server closed the connection while it was idle inside a transaction, and the next statement got its final
    # message.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    # No connection is free, the disk is full or memory is short: not a fault of the statement.
    asyncpg.InsufficientResourcesError,
    # After a failover: the server has become a standby.
    asyncpg.ReadOnlySQLTransactionError,
    # A prepared statement of this connection is gone, or its plan no longer fits its tables. A new connection prepares
    # it again.
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidSQLStatementNameError,
    OSError,
    TimeoutError,
)


log = structlog.get_logger()
queries = load_queries("tollhouse.storage")


class PooledConnection(PlainConnection):
    """A connection that is returned to the pool without a reset.

    By default the driver sends a reset at each return, a round trip that only session state needs; Tollhouse keeps
    none.
    """

    def get_reset_query(self) -> str:
        """Return the statement that the pool sends for a returned connection: none."""
        return ""


class Database:
    """A bounded pool of connections to one schema."""

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

        `dsn` may name several hosts: the one that accepts writes is used. `role` names the pool's purpose on the
        server. `server_timeout_seconds` is the server's own statement timeout; 0 is none. `keeps_idle` keeps unused
        connections open, because the server may not have another one later.
        """
        connect: Any = Hosts(dsn).connect
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=min_size,
                max_size=max_size,
                connection_class=PooledConnection,
                connect=connect,
                timeout=ACQUIRE_TIMEOUT_SECONDS,
                # The server's own timeout comes first, because it leaves nothing running.
                command_timeout=max(statement_seconds, 2 * server_timeout_seconds),
                max_inactive_connection_lifetime=0.0 if keeps_idle else IDLE_TIMEOUT_SECONDS,
                max_queries=STATEMENTS_OF_A_CONNECTION,
                # Prepared statements are kept, with generic plans.
                statement_cache_size=500,
                server_settings={
                    "search_path": schema,
                    "application_name": f"tollhouse {schema} {role}".rstrip(),
                    "statement_timeout": f"{server_timeout_seconds * 1000:.0f}",
                    "timezone": "UTC",
                    "jit": "off",
                    # The statements take arrays of any length and are planned once for all of them.
                    "plan_cache_mode": "force_generic_plan",
                    # A plan may be older than the rows: a plan for an almost empty table would scan the whole table
                    # until statistics are gathered. Hot rows are in memory, where an index costs no more.
                    "random_page_cost": "1.1",
                    # A transaction that is idle for this long was left open by a bug or a dead process.
                    "idle_in_transaction_session_timeout": "30s",
                },
            )
        except CONNECTION_LOST as error:
            raise DatabaseUnavailable from error
        return cls(pool)

    async def close(self) -> None:
        """Close every connection. After a few seconds, close those still in use too."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout=3)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[PlainConnection]:
        """Yield a connection whose statements commit one by one."""
        try:
            connection = await self._borrow()
            try:
                yield connection
            except (asyncio.CancelledError, *CONNECTION_LOST):
                # Its state is uncertain, so it must not be reused.
                with suppress(asyncpg.InterfaceError):  # the driver has taken it back already
                    connection.terminate()
                raise
            finally:
                await self._pool.release(connection)
        except CONNECTION_LOST as error:
            if isinstance(error, ValueError):  # the driver's exception for an invalid parameter
                raise
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                # The server became a standby, so every other connection leads to a standby too.
                await self._pool.expire_connections()
            if isinstance(error, asyncpg.QueryCanceledError):
                raise StatementTooSlow from error
            raise DatabaseUnavailable from error

    async def _borrow(self) -> Any:
        """Acquire a connection. If the server has none left, wait for one of ours to be returned."""
        give_up_at = time.monotonic() + ACQUIRE_TIMEOUT_SECONDS
        while True:
            try:
                return await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
            except asyncpg.TooManyConnectionsError:
                self._log_full()
                if time.monotonic() >= give_up_at:
                    raise
                await asyncio.sleep(FULL_INTERVAL_SECONDS)

    def _log_full(self) -> None:
        """Log that the server has no connection left, at most once per interval."""
        if time.monotonic() - self._told_full_at >= FULL_LOG_INTERVAL_SECONDS:
            self._told_full_at = time.monotonic()
            log.error("database.connections_exhausted", open_here=self._pool.get_size())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PlainConnection]:
        """Yield a connection for one READ COMMITTED database transaction that commits if the block succeeds."""
        async with self.acquire() as connection, connection.transaction():
            yield connection


async def select_connection_limit(connection: PlainConnection) -> int:
    """Return the number of connections for programs, without those that the server reserves for administrators."""
    limit: int = await queries.select_connection_limit(connection)
    return limit


async def set_clock(clock: DatabaseClock, database: Database) -> None:
    """Set a clock to the database's time. Raises DatabaseUnavailable."""
    async with database.acquire() as connection:
        clock.observe(await queries.select_time(connection))
