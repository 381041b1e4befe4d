"""Rows of codes, and of how many messages left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tollhouse.phones.model import CODE_LIFE, TRIES
from tollhouse.storage.queries import load_queries
from tollhouse.storage.sweep import Sweep

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

queries = load_queries("tollhouse.phones")


@dataclass(frozen=True, slots=True)
class Usage:
    """How many messages there were in the window under way, this one included, and when it is over."""

    used: int
    left_over: timedelta


@dataclass(frozen=True, slots=True)
class StoredCode:
    """A code that may still be tried."""

    code_digest: bytes
    tries_left: int


async def take_quota(connection: PlainConnection, *, merchant_id: int, subject: bytes, span: timedelta) -> Usage:
    """Count a message; whoever counts the same at once waits for this transaction."""
    row = await queries.take_quota(connection, merchant_id=merchant_id, subject=subject, span=span)
    return Usage(row["used"], row["left_over"])


async def insert_code(
    connection: PlainConnection, *, merchant_id: int, phone_digest: bytes, code_digest: bytes
) -> datetime:
    """Keep a code in the place of the one before, and return when it ends."""
    expires_at: datetime = await queries.insert_code(
        connection,
        merchant_id=merchant_id,
        phone_digest=phone_digest,
        code_digest=code_digest,
        tries=TRIES,
        life=CODE_LIFE,
    )
    return expires_at


async def lock_code(connection: PlainConnection, *, merchant_id: int, phone_digest: bytes) -> StoredCode | None:
    """Return the code of a phone that may still be tried, locked, or None."""
    row = await queries.lock_code(connection, merchant_id=merchant_id, phone_digest=phone_digest)
    return StoredCode(row["code_digest"], row["tries_left"]) if row else None


async def update_tries(connection: PlainConnection, *, merchant_id: int, phone_digest: bytes) -> None:
    """Write down that one of the tries is gone."""
    await queries.update_tries(connection, merchant_id=merchant_id, phone_digest=phone_digest)


async def delete_code(
    connection: PlainConnection, *, merchant_id: int, phone_digest: bytes, code_digest: bytes
) -> None:
    """Remove a code, unless another one took its place."""
    await queries.delete_code(connection, merchant_id=merchant_id, phone_digest=phone_digest, code_digest=code_digest)


#: What ran out.
SWEEPS = (
    Sweep("phone_code", queries.delete_expired_codes, queries.select_codes_lag),
    Sweep("phone_quota", queries.delete_expired_quotas, queries.select_quotas_lag),
)
