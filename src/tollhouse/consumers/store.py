"""Rows of consumers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from tollhouse.consumers.model import Consumer, ConsumerChange, ConsumerEntry, Group
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.consumers")


class ConsumerRow(NamedTuple):
    """A consumer to be created, in the order in which rows are locked. `profile` is JSON."""

    merchant_id: int
    consumer_id: str
    external_id: str | None
    profile: str


class LastAccountRow(NamedTuple):
    """An account that a consumer has paid with, or that was verified, as the columns of `last_account_v1`."""

    merchant_id: int
    consumer_id: str
    account_id: UUID
    has_paid: bool


async def insert_consumers(connection: PlainConnection, rows: Sequence[ConsumerRow]) -> None:
    """Create the consumers that do not exist yet, in the caller's transaction; the first row describes a new one."""
    if rows:
        await queries.insert_consumers(connection, consumers=[(place, *row) for place, row in enumerate(rows, 1)])


async def select_consumer(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str
) -> tuple[Consumer, UUID | None] | None:
    """Return a merchant's consumer and the account of its last successful payment, or None."""
    row = await queries.select_consumer(connection, merchant_id=merchant_id, consumer_id=consumer_id)
    if row is None:
        return None
    consumer = Consumer(merchant_id, row["consumer_id"], row["external_id"], json.loads(row["profile"]))
    return consumer, row["last_account_id"]


async def upsert_consumer(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str, external_id: str, change: ConsumerChange
) -> ConsumerEntry:
    """Create a consumer, or describe one that is known anew; the group of one that is known stays."""
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
    """Return all about a merchant's consumer, or None."""
    row = await queries.select_consumer_entry(connection, merchant_id=merchant_id, consumer_id=consumer_id)
    return _read_entry(merchant_id, row) if row else None


async def update_consumer(
    connection: PlainConnection, *, merchant_id: int, consumer_id: str, change: ConsumerChange
) -> ConsumerEntry | None:
    """Change what is given of a consumer in one statement, and return all about it; None when there is no such."""
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
    """Let the source `consumer` follow a card to the account that replaced it, in the caller's transaction."""
    await queries.update_last_account_replaced(
        connection,
        merchant_id=merchant_id,
        consumer_id=consumer_id,
        replaced_id=replaced_id,
        account_id=account_id,
    )


def _read_entry(merchant_id: int, row: Mapping[str, Any]) -> ConsumerEntry:
    consumer = Consumer(merchant_id, row["consumer_id"], row["external_id"], json.loads(row["profile"]))
    return ConsumerEntry(consumer, Group(row["group_id"]), row["created_at"], row["updated_at"])
