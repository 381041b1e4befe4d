"""Database access for consumers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from tollhouse.consumers.model import Consumer, ConsumerChange, ConsumerEntry, Group
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.consumers")


class ConsumerRow(NamedTuple):
    """A consumer to create, sorted in the order of row locks. `profile` is JSON."""

    merchant_id: int
    consumer_id: str
    external_id: str | None
    profile: str


class LastAccountRow(NamedTuple):
    """A stored card that a consumer has paid with or verified, as the columns of `last_account_v1`."""

    merchant_id: int
    consumer_id: str
    account_id: UUID
    has_paid: bool


async def insert_consumers(connection: PlainConnection, rows: Sequence[ConsumerRow]) -> None:
    """Create the consumers that do not exist, in the caller's database transaction.

    The first row describes a new one.
    """
    if rows:
        await queries.insert_consumers(connection, consumers=[(place, *row) for place, row in enumerate(rows, 1)])


async def select_consumer(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str
) -> tuple[Consumer, UUID | None] | None:
    """Return a merchant's consumer and the stored card of its last successful payment, or None."""
    row = await queries.select_consumer(connection, merchant_id=merchant_id, consumer_id=consumer_id)
    if row is None:
        return None
    consumer = Consumer(merchant_id, row["consumer_id"], row["external_id"], json.loads(row["profile"]))
    return consumer, row["last_account_id"]


async def upsert_consumer(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str, external_id: str, change: ConsumerChange
) -> ConsumerEntry:
    """Create a consumer, or update an existing one. The group of an existing one stays."""
    row = await queries.upsert_consumer(
        connection,
        merchant_id=merchant_id,
        consumer_id=consumer_id,
        external_id=external_id,
        group_id=change.group or Group.JUNIOR,
        profile=json.dumps(dict(change.profile)),
    )
    return _read_entry(merchant_id, row)


async def select_consumer_entry(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str
) -> ConsumerEntry | None:
    """Return all fields of a merchant's consumer, or None."""
    row = await queries.select_consumer_entry(connection, merchant_id=merchant_id, consumer_id=consumer_id)
    return _read_entry(merchant_id, row) if row else None


async def update_consumer(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str, change: ConsumerChange
) -> ConsumerEntry | None:
    """Update the given fields of a consumer in one statement, and return all fields.

    Return None if it does not exist.
    """
    row = await queries.update_consumer(
        connection,
        merchant_id=merchant_id,
        consumer_id=consumer_id,
        group_id=change.group,
        profile=json.dumps(dict(change.profile)),
    )
    return _read_entry(merchant_id, row) if row else None


async def update_last_account_replaced(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str, replaced_id: UUID, account_id: UUID
) -> None:
    """Point a consumer's last stored card to its replacement, in the caller's database transaction."""
    await queries.update_last_account_replaced(
        connection, merchant_id=merchant_id, consumer_id=consumer_id, replaced_id=replaced_id, account_id=account_id
    )


def _read_entry(merchant_id: int, row: Mapping[str, Any]) -> ConsumerEntry:
    consumer = Consumer(merchant_id, row["consumer_id"], row["external_id"], json.loads(row["profile"]))
    return ConsumerEntry(consumer, Group(row["group_id"]), row["created_at"], row["updated_at"])
