"""Disputes, listed for the acquirer's clients until they are acknowledged."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Meta

from tollhouse.simulator.messages import Instant, SimulatorMessage, decode, encode
from tollhouse.simulator.store import queries
from tollhouse.storage.database import Database

#: Disputes on one page.
PAGE = 100

Acceptor = Annotated[str, Meta(min_length=1, max_length=36)]


class _Ahead(SimulatorMessage):
    acceptor: Acceptor
    until: Instant


class _DisputesQuery(SimulatorMessage):
    """`until` applies to all merchants except those in `ahead`, whose clocks differ."""

    until: Instant
    acceptor: Acceptor | None = None
    ahead: Annotated[list[_Ahead], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    after: UUID | None = None


class _Acknowledge(SimulatorMessage):
    ids: Annotated[list[UUID], Meta(max_length=PAGE)]


_list = msgspec.json.Decoder(_DisputesQuery)
_acknowledge = msgspec.json.Decoder(_Acknowledge)


class DisputeService:
    """The service for disputes. Raises Invalid for a faulty body."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, body: bytes) -> bytes:
        """Return a page of due disputes that are not acknowledged, in the order of their due times."""
        wanted: _DisputesQuery = decode(_list, body)
        async with self._database.acquire() as connection:
            rows = queries.select_disputes(
                connection,
                acceptor=wanted.acceptor,
                until=wanted.until,
                acceptors_ahead=[each.acceptor for each in wanted.ahead],
                untils_ahead=[each.until for each in wanted.ahead],
                after=wanted.after,
                row_limit=PAGE,
            )
            return encode({"disputes": [_describe(row) async for row in rows]})

    async def acknowledge(self, body: bytes) -> bytes:
        """Acknowledge disputes, and return those that exist."""
        wanted: _Acknowledge = decode(_acknowledge, body)
        async with self._database.acquire() as connection:
            rows = queries.update_disputes_taken(connection, dispute_ids=wanted.ids)
            return encode({"ids": [row["dispute_id"] async for row in rows]})


def _describe(row: Record) -> dict[str, Any]:
    return {
        "id": row["dispute_id"],
        "acceptor": row["acceptor"],
        "reference": row["reference"],
        "amount": {"minor": row["amount_minor"], "currency": row["currency"]},
        "reason": row["reason"],
        "dueAt": row["due_at"],
    }
