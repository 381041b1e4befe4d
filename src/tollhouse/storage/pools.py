"""The pools of one process: who may wait for whom.

Payments, the loops of the worker and readers have connections of their own, so that slow searches or a backlog of
callbacks never keep a payment from its durable steps.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from tollhouse.storage.database import Database

#: Connections that the payments' pool keeps open, whatever else the server has to serve.
MIN_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """The most connections of each pool, and how long the server lets a reader's statement run."""

    payments: int
    worker: int
    readers: int
    reader_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Pools:
    """Pools of one database. A process opens only the connections that it uses, but for those of `payments`."""

    payments: Database
    worker: Database
    readers: Database

    @classmethod
    def share(cls, database: Database) -> Self:
        """Use one pool for everything, as tests and tools do."""
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
        """Close all of them."""
        await asyncio.gather(*(pool.close() for pool in {self.payments, self.worker, self.readers}))
