"""The connection pools of one process.

Payments, the loops of the worker and readers have separate pools, so that slow searches or a backlog of callbacks never
delay the begin and finish steps of a payment.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from tollhouse.storage.database import Database

#: Connections that the payments' pool keeps open, regardless of other load on the server.
MIN_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """The maximum connections of each pool, and the server's statement timeout for readers."""

    payments: int
    worker: int
    readers: int
    reader_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools of one database. A process opens only the connections that it uses, except for those of `payments`."""

    payments: Database
    worker: Database
    readers: Database

    @classmethod
    def share(cls, database: Database) -> Self:
        """Return pools that share one database pool, for tests and tools."""
        return cls(database, database, database)

    @classmethod
    async def connect(cls, dsn: str, *, schema: str, sizes: PoolSizes) -> Self:
        """Open the pools. Raises DatabaseUnavailable."""
        payments = await Database.connect(
            dsn,
            schema=schema,
            role="payments",
            min_size=min(MIN_CONNECTIONS, sizes.payments),
            max_size=sizes.payments,
            keeps_idle=True,
        )
        worker = await Database.connect(dsn, schema=schema, role="worker", min_size=0, max_size=sizes.worker)
        readers = await Database.connect(
            dsn,
            schema=schema,
            role="readers",
            min_size=0,
            max_size=sizes.readers,
            server_timeout_seconds=sizes.reader_timeout_seconds,
        )
        return cls(payments, worker, readers)

    async def close(self) -> None:
        """Close all pools."""
        await asyncio.gather(*(pool.close() for pool in {self.payments, self.worker, self.readers}))
